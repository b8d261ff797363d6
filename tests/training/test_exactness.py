"""Law 8: some steps, kill -9 and recovery are no kill at all, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.settings.precision import Precision
from tests.training.conftest import Given
from tests.training.ranks import rows, run, run_until

pytestmark = pytest.mark.processes

KILLED_AT, LAST_COMMIT, STEPS = 7, 5, 20
CASES = [(stage, precision) for stage in range(4) for precision in (Precision.FP32, Precision.BF16)]


def by_step(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """All that was measured of a step but its times, once for each attempt that made it."""
    steps: dict[int, list[dict[str, Any]]] = {}
    for row in rows(folder, "metrics"):
        if all(name.startswith("system/") for name in row["values"]):
            continue  # a rank's load, in a file of its own
        values = {
            name: value
            for name, value in row["values"].items()
            if name.endswith(("loss", "lr", "grad_norm"))
        }
        steps.setdefault(row["step"], []).append({"tokens": row["tokens"], **values})
    return steps


def weights(folder: Path) -> dict[str, bytes]:
    """The files of the last checkpoint, by what is in them: tensors in the order of their names."""
    import torch
    from torch.utils._pytree import tree_leaves

    found = {}
    for path in sorted((folder / "checkpoints" / f"step-{STEPS:06d}").glob("*.pt")):
        content = torch.load(path, weights_only=False, map_location="cpu")
        tensors = [leaf for leaf in tree_leaves(content) if isinstance(leaf, torch.Tensor)]
        found[path.name] = b"".join(
            tensor.contiguous().view(torch.uint8).numpy().tobytes()
            for tensor in tensors
            if tensor.ndim
        )
    return found


def check_killed_is_straight(a_run: Given, stage: int, precision: Precision) -> None:
    straight = a_run("straight", stage=stage, precision=precision)
    run(straight, world=2)
    killed = a_run("killed", stage=stage, precision=precision)
    run_until(killed, lambda: len(rows(killed, "steps")) >= KILLED_AT, world=2, attempt=1, victim=1)
    run(killed, world=2, attempt=2)
    expected, found = by_step(straight), by_step(killed)
    assert sorted(found) == sorted(expected) == list(range(1, STEPS + 1))
    repeated = [step for step, values in found.items() if len(values) > 1]
    assert repeated and min(repeated) > LAST_COMMIT - 5
    for step, values in found.items():
        assert all(each == expected[step][0] for each in values), step
    assert weights(straight) == weights(killed) != {}


def test_a_killed_worker_ends_with_the_same_weights(a_run: Given) -> None:
    check_killed_is_straight(a_run, 2, Precision.FP32)


@pytest.mark.long
@pytest.mark.parametrize(("stage", "precision"), CASES)
def test_every_division_and_precision_survives_a_kill(
    a_run: Given, stage: int, precision: Precision
) -> None:
    check_killed_is_straight(a_run, stage, precision)


def test_a_stop_commits_and_the_run_goes_on_from_there(a_run: Given) -> None:
    folder = a_run("stopped")
    (folder / "stop").touch()
    run(folder, world=2)
    assert (folder / "ending-1").read_text() == "stopped 0"
    (folder / "stop").unlink()
    run(folder, world=2, attempt=2)
    assert (folder / "ending-2").read_text() == f"finished {STEPS}"
