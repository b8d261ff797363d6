"""Which checkpoints go: a function of steps and losses, and what is left of it on a storage."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Keep
from orchestrator.runs.checkpoints.keep import kept_because, retired
from orchestrator.runs.storage import LocalStorage, Storage
from orchestrator.settings.checkpoint import Checkpoint
from tests.runs.checkpoints.making import make, path

losses = st.dictionaries(
    st.integers(0, 60), st.none() | st.floats(0, 9, allow_nan=False).map(lambda x: round(x, 1))
)
keeps = st.builds(
    Keep,
    last=st.integers(1, 4),
    best=st.integers(0, 3),
    every=st.none() | st.integers(1, 20),
)
many = settings(max_examples=40)


@many
@given(losses, keeps)
def test_the_newest_the_best_and_the_round_ones_stay(
    losses: dict[int, float | None], keep: Keep
) -> None:
    stay = set(losses) - set(retired(losses, keep))
    newest = sorted(losses)[-keep.last :]
    measured = [(loss, step) for step, loss in losses.items() if loss is not None]
    best = [step for _, step in sorted(measured)[: keep.best]]
    round_ones = [step for step in losses if keep.every and step % keep.every == 0]
    assert stay == {*newest, *best, *round_ones}
    reasons = kept_because(losses, keep)
    for step in losses:
        expected = ["last"] * (step in newest) + ["best"] * (step in best)
        assert reasons.get(step, []) == expected + ["every"] * (step in round_ones)


@many
@given(losses, keeps)
def test_what_stays_once_stays_when_asked_again(
    losses: dict[int, float | None], keep: Keep
) -> None:
    left = {step: loss for step, loss in losses.items() if step not in retired(losses, keep)}
    assert retired(left, keep) == []


@many
@given(losses, keeps)
def test_asked_after_each_one_the_best_and_the_newest_are_those_of_all(
    losses: dict[int, float | None], keep: Keep
) -> None:
    """Steps come one by one, and what went does not come back."""
    left: dict[int, float | None] = {}
    for step in sorted(losses):
        left[step] = losses[step]
        for gone in retired(left, keep):
            del left[gone]
    assert sorted(left) == sorted(kept_because(losses, keep))


def test_the_settings_say_what_stays() -> None:
    assert Keep.of(Checkpoint(keep_last=3, keep_best=2, keep_every=500)) == Keep(
        last=3, best=2, every=500
    )


def test_what_goes_is_gone_with_all_that_was_made_of_it(storage: Storage) -> None:
    catalogue = Checkpoints(storage)
    gone = []
    for step, loss in ((100, 3.0), (200, 1.0), (300, 2.0), (400, None)):
        make(storage, step, validation_loss=loss)
        storage.write(f"{layout.universal(step)}/deep/x", b"derived")
        gone += catalogue.retire(Keep(last=1, best=1, every=300))
    assert gone == [100]
    assert storage.list(layout.checkpoint(100)) == []
    assert catalogue.steps() == [200, 300, 400]
    assert storage.exists(f"{layout.universal(200)}/deep/x")
    assert Checkpoints(storage).retire(Keep(last=1, best=1)) == [300]


def test_one_that_cannot_be_read_takes_no_place_of_a_whole_one(local: LocalStorage) -> None:
    for step in (100, 200, 300):
        make(local, step)
    local.write(path(300), b"torn")
    local.write(path(400, "rank-000.json"), b"half")
    assert Checkpoints(local).retire(Keep(last=1)) == [100]
    assert Checkpoints(local).verify(200) == []
