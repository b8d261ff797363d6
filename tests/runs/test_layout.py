from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs import layout


@given(st.integers(0, 10**9))
def test_a_checkpoints_folder_tells_its_step(step: int) -> None:
    folder = layout.checkpoint(step)
    assert layout.checkpoint_step(folder.removeprefix(f"{layout.CHECKPOINTS}/")) == step


@given(st.lists(st.integers(0, 999_999), min_size=1))
def test_names_sort_as_their_numbers_do(numbers: list[int]) -> None:
    for name in (layout.checkpoint, layout.lease):
        assert [name(n) for n in sorted(numbers)] == sorted(name(n) for n in numbers)


def test_what_is_no_checkpoint_has_no_step() -> None:
    for name in ("step-12", "step-000400.tmp", "xstep-000400", "step-000400\n", "latest", ""):
        assert layout.checkpoint_step(name) is None
