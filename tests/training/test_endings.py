"""The ways in which training ends beside its last step, and what is left behind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runs.samples import read_samples
from orchestrator.runs.storage import open_storage
from orchestrator.settings.budget import Budget
from orchestrator.settings.compute import Profile
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.optim import OnNan, Optim
from tests.training.conftest import Given
from tests.training.ranks import rows, run

pytestmark = pytest.mark.processes

STEPS = 20


def last_step(folder: Path) -> int:
    return max(row["step"] for row in rows(folder, "steps"))


def test_time_ends_a_run_at_a_step_and_who_resumes_it_gives_it_as_much_again(
    a_run: Given,
) -> None:
    budget = Budget(steps=100_000, max_duration=0.3)
    folder = a_run("timed", stage=0, budget=budget)
    run(folder, world=1)
    end, step = (folder / "ending-1").read_text().rsplit(" ", 1)
    assert end == "out of time" and int(step) == last_step(folder) > 0
    assert (folder / "checkpoints" / f"step-{int(step):06d}" / "COMMIT").exists()
    run(folder, world=1, attempt=2)
    again, further = (folder / "ending-2").read_text().rsplit(" ", 1)
    assert again == "out of time" and int(further) > int(step)


def test_a_gradient_that_is_no_number_fails_the_run_before_it_is_saved(a_run: Given) -> None:
    folder = a_run("diverged", stage=0, optim=Optim(lr=1e38, clip_norm=None))
    with pytest.raises(AssertionError, match=r"TrainingDiverged: Step .* has a gradient of norm"):
        run(folder, world=1)
    (event,) = (row for row in rows(folder, "events") if row["kind"] == "diverged")
    assert event["cursor"]["packs_total"] == 6 * (event["step"] - 1)
    assert event["step"] == last_step(folder) + 1


def test_a_gradient_that_is_no_number_can_be_left_out(a_run: Given) -> None:
    optim = Optim(lr=1e38, clip_norm=None, on_nan=OnNan.SKIP)
    folder = a_run("skipped", stage=0, optim=optim, budget=Budget(steps=4))
    run(folder, world=1)
    skipped = [row["step"] for row in rows(folder, "events") if row["kind"] == "step_skipped"]
    assert skipped and skipped[-1] == 4 == last_step(folder)


def test_a_trace_of_some_steps_is_kept_and_validation_is_taken(a_run: Given) -> None:
    folder = a_run(
        "traced",
        stage=0,
        profile=Profile(steps=(2, 3)),
        budget=Budget(steps=6),
        evaluation=Evaluation(every_steps=4, packs=3),
    )
    run(folder, world=1)
    (trace,) = (folder / "traces").iterdir()
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    taken = [row for row in rows(folder, "metrics") if "eval/loss" in row["values"]]
    assert [row["step"] for row in taken] == [4, 6]
    values = taken[0]["values"]
    assert values["eval/loss"] == pytest.approx(values["eval/mlm_loss"] + values["eval/nsp_loss"])
    assert 0 <= values["eval/nsp_accuracy"] <= 1 < values["eval/perplexity"]


def test_validation_is_the_same_on_any_number_of_workers(a_run: Given) -> None:
    taken, looked_at = [], []
    for world in (1, 3):
        folder = a_run(
            f"of-{world}",
            stage=3,
            budget=Budget(steps=1),
            evaluation=Evaluation(every_steps=1, packs=5),
        )
        run(folder, world=world)
        values = [row["values"] for row in rows(folder, "metrics") if "eval/loss" in row["values"]]
        taken.append(values[-1])
        looked_at.append(read_samples(open_storage(folder)))
    assert taken[0] == pytest.approx(taken[1], rel=1e-5)
    assert_same_samples(*looked_at)


def assert_same_samples(one: dict[str, Any], other: dict[str, Any]) -> None:
    """As far as they go: of three workers the first has a third of what one alone begins with."""
    assert one["step"] == other["step"] == 1
    assert one["samples"] and other["samples"]
    for mine, theirs in zip(one["samples"], other["samples"], strict=False):
        assert mine["pieces"] == theirs["pieces"]
        for (at, target, guesses), (at_too, target_too, others) in zip(
            mine["masked"], theirs["masked"], strict=True
        ):
            assert (at, target) == (at_too, target_too)
            chances = [chance for _, chance in guesses]
            assert chances == sorted(chances, reverse=True)
            assert chances == pytest.approx([chance for _, chance in others], abs=2e-4)
    assert any(mine["masked"] for mine in one["samples"])
