"""The table of a suite: medians over seeds, an average that hides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.scores import AVERAGE, Scores, scores_of
from orchestrator.api.steps import steps_of
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.result import write_result
from orchestrator.runs.storage import open_storage
from orchestrator.settings.kinds import freeze
from orchestrator.settings.members import Step
from orchestrator.settings.pipeline import Pipeline, PipelineJob
from orchestrator.settings.probe import ProbeJob

TASKS = ("cola", "sts", "mnli", "wnli")


def suite(*, apart: tuple[str, ...] = ("wnli",)) -> PipelineJob:
    steps = {
        "tune": Step(job="finetune", each={"task": TASKS}),
        "look": Step(job="probe", after=("tune",)),
    }
    return PipelineJob(pipeline=Pipeline(steps=steps, each={"seed": (1, 2, 3)}, apart=apart))


class Suite:
    def __init__(self, folder: Path, job: PipelineJob) -> None:
        self.run, self.job = RunFolder(open_storage(folder), "20261121-101010-glue-aaaa"), job
        self.steps = steps_of(self.run, job)

    def end(self, step: str, **splits: dict[str, Any]) -> None:
        """With these metrics; without any it failed."""
        folder = self.steps[step]
        folder.storage.write(layout.JOB, freeze(ProbeJob()).encode())
        if splits:
            write_result(folder.storage, {"chosen_by": "accuracy", "metrics": splits})

    def scores(self) -> Scores:
        found = scores_of(self.run, self.job, {"tune-wnli-3": "failed"})
        assert found is not None
        return found


@pytest.fixture
def ended(tmp_path: Path) -> Suite:
    """Three seeds of four tasks; of one a seed failed, another lacks all."""
    made = Suite(tmp_path, suite())
    for seed in (1, 2, 3):
        made.end(f"tune-cola-{seed}", validation={"matthews": seed / 10, "loss": 9.0})
        scores = {"spearman": None if seed == 2 else 0.8, "mean_squared_error": 7.0}
        made.end(f"tune-sts-{seed}", validation={"spearman": 0.1}, test=scores)
    for seed in (1, 2):
        splits: Any = {"validation": {"accuracy": 0.5}, "mismatched": {"accuracy": 0.7}}
        made.end(f"tune-mnli-{seed}", **splits)
        made.end(f"tune-wnli-{seed}", validation={"accuracy": 1.0})
    made.end("tune-wnli-3")
    return made


def test_a_task_has_the_median_over_its_runs_and_how_far_they_lie_apart(ended: Suite) -> None:
    cola = ended.scores().tasks[0]
    spread = cola.splits["validation"]["matthews"]
    assert (cola.name, list(cola.splits["validation"])) == ("cola", ["matthews"]), "no loss"
    assert (spread.median, spread.least, spread.most) == (0.2, 0.1, 0.3)


def test_the_test_split_counts_where_there_is_one_and_all_others_where_not(ended: Suite) -> None:
    _, sts, mnli, _ = ended.scores().tasks
    assert list(sts.splits) == ["test"] and list(mnli.splits) == ["validation", "mismatched"]
    assert mnli.score == pytest.approx(0.6), "the mean of its splits"
    assert sts.score == pytest.approx(0.8), "an error is no score"


def test_each_task_counts_once_and_those_apart_not_at_all(ended: Suite) -> None:
    scores = ended.scores()
    assert [task.name for task in scores.averaged] == ["cola", "sts", "mnli"]
    assert scores.average == pytest.approx((0.2 + 0.8 + 0.6) / 3)
    assert scores.metrics()[AVERAGE] == scores.average
    assert scores.metrics()["mnli/mismatched/accuracy"] == 0.7


def test_whatever_is_missing_is_named_with_its_state(ended: Suite) -> None:
    scores = ended.scores()
    missing = {task.name: dict(task.missing) for task in scores.tasks}
    assert missing == {
        "cola": {},
        "sts": {"tune-sts-2": "has no spearman"},
        "mnli": {"tune-mnli-3": "not started"},
        "wnli": {"tune-wnli-3": "failed"},
    }
    assert scores.notes == [
        "without wnli, as pipeline.apart says",
        *(f"{name} from 2 of 3 runs" for name in ("sts", "mnli", "wnli")),
    ]


def test_a_task_without_a_score_is_said_to_be_left_out(tmp_path: Path) -> None:
    made = Suite(tmp_path, suite(apart=()))
    made.end("tune-cola-1", validation={"matthews": 0.5})
    scores = made.scores()
    assert "without mnli, which has no score" in scores.notes
    rows = list(scores.rows())
    assert rows[-1][:6] == (AVERAGE, "", "", "0.5000", "", "1 of 4 tasks")
    assert ("sts", "", "–", "", "", "0 of 3") in [row[:6] for row in rows]
    assert scores.plain()["averaged"] == ["cola"]


def test_runs_that_had_several_seeds_themselves_count_with_all(tmp_path: Path) -> None:
    made = Suite(tmp_path, suite())
    spread = {"validation": {"matthews": {"values": [0.1, 0.2, 0.9]}}}
    result = {"metrics": {"validation": {"matthews": 0.2}}, "spread": spread}
    made.end("tune-cola-1")
    write_result(made.steps["tune-cola-1"].storage, result)
    assert made.scores().tasks[0].splits["validation"]["matthews"].values == (0.1, 0.2, 0.9)


def test_a_pipeline_without_each_or_without_any_score_has_no_table(tmp_path: Path) -> None:
    assert scores_of(Suite(tmp_path, suite()).run, suite()) is None
    plain = PipelineJob(pipeline=Pipeline(steps={"tune": Step(job="finetune")}))
    made = Suite(tmp_path, plain)
    made.end("tune", validation={"accuracy": 1.0})
    assert scores_of(made.run, plain) is None


def test_lines_of_two_steps_with_the_same_task_are_told_apart(tmp_path: Path) -> None:
    each = {"task": ("rte",), "optim.lr": (0.1, 0.2)}
    steps = {"one": Step(job="finetune", each=each), "two": Step(job="finetune", each=each)}
    made = Suite(tmp_path, PipelineJob(pipeline=Pipeline(steps=steps)))
    made.end("one-rte-0-1", validation={"accuracy": 0.5})
    names = [task.name for task in made.scores().tasks]
    assert names[:2] == ["one rte optim.lr=0.1", "one rte optim.lr=0.2"] and names[2][:3] == "two"
