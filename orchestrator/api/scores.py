"""What a suite came to: of each task the median over its runs, how far they lie apart, an average.

A suite is a pipeline with steps that have an `each`; runs that differ only in what all steps are
done for each of, as in seeds, are one line. Its body writes it down, `status` asks for it anew.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.api.steps import steps_of
from orchestrator.errors import OrchestratorError
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.result import Spread, read_result
from orchestrator.settings.members import Member
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.settings.task import METRICS, TEST

_LOSS = "loss"  # is told by every fine-tune, and is no measure of a task
AVERAGE = "average"


@dataclass(frozen=True, kw_only=True)
class TaskScores:
    """A line of the table: the runs of a step that have the same task."""

    name: str
    splits: Mapping[str, Mapping[str, Spread]]  # split → metric → its values
    runs: int
    missing: Mapping[str, str]  # run without a score → its state
    is_apart: bool  # left out of the average because that was asked for

    @property
    def score(self) -> float | None:
        """The mean of its metrics, those that are losses left out; of several splits of all."""
        found = [
            spread.median
            for metrics in self.splits.values()
            for name, spread in metrics.items()
            if spread.median is not None and not (name in METRICS and METRICS[name].is_loss)
        ]
        return statistics.fmean(found) if found else None


@dataclass(frozen=True, kw_only=True)
class Scores:
    tasks: tuple[TaskScores, ...]

    @property
    def averaged(self) -> tuple[TaskScores, ...]:
        return tuple(task for task in self.tasks if task.score is not None and not task.is_apart)

    @property
    def average(self) -> float | None:
        """Each task counts once, however many metrics it has."""
        found = [task.score for task in self.averaged if task.score is not None]
        return statistics.fmean(found) if found else None

    @property
    def notes(self) -> list[str]:
        """Whatever makes the average another than one thinks."""
        lost = [task.name for task in self.tasks if task.score is None]
        apart = [task.name for task in self.tasks if task.is_apart and task.score is not None]
        partly = [task for task in self.tasks if task.missing and task.score is not None]
        told = [f"without {name}, which has no score" for name in lost]
        told += [f"without {name}, as pipeline.apart says" for name in apart]
        told += [
            f"{task.name} from {task.runs - len(task.missing)} of {task.runs} runs"
            for task in partly
        ]
        return told

    def plain(self) -> dict[str, Any]:
        return {
            "tasks": [asdict(task) | {"score": task.score} for task in self.tasks],
            "average": self.average,
            "averaged": [task.name for task in self.averaged],
            "notes": self.notes,
        }

    def metrics(self) -> dict[str, float]:
        """For charts: each median by its task's name, and the average."""
        found = {
            f"{task.name}/{split}/{name}": spread.median
            for task in self.tasks
            for split, metrics in task.splits.items()
            for name, spread in metrics.items()
            if spread.median is not None
        }
        return found if self.average is None else found | {AVERAGE: self.average}

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Of the table that people see; its head is COLUMNS."""
        for task in self.tasks:
            runs = f"{task.runs - len(task.missing)} of {task.runs}"
            states = ", ".join(f"{name} {state}" for name, state in task.missing.items())
            if not task.splits:
                yield task.name, "", "–", "", "", runs, states
            for split, metrics in task.splits.items():
                for name, spread in metrics.items():
                    across = str(spread) if runs != "1 of 1" else ""
                    yield task.name, split, name, f"{spread.median:.4f}", across, runs, states
        if self.average is not None:
            whole = sum(not task.is_apart for task in self.tasks)
            of = f"{len(self.averaged)} of {whole} tasks"
            yield AVERAGE, "", "", f"{self.average:.4f}", "", of, "; ".join(self.notes)


COLUMNS = ("task", "split", "metric", "median", "spread", "runs", "without")


def scores_of(pipeline: RunFolder, job: PipelineJob, ends: Mapping[str, str] = {}) -> Scores | None:
    """None of a pipeline that is no suite. `ends` is what the pipeline itself knows of steps."""
    folders = steps_of(pipeline, job)
    lines: dict[str, list[Member]] = {}
    for member in job.members.values():
        if member.values:
            lines.setdefault(_name(job, member), []).append(member)
    tasks = []
    for name, members in lines.items():
        results, missing = [], {}
        for member in members:
            folder = folders[member.name]
            result = _result(folder)
            if result is not None:
                results.append(result)
            if why := _lacks(result) if result else ends.get(member.name) or _state(folder):
                missing[member.name] = why
        task = TaskScores(
            name=name,
            splits=_together(results),
            runs=len(members),
            missing=missing,
            is_apart=members[0].values.get("task") in job.pipeline.apart,
        )
        tasks.append(task)
    return Scores(tasks=tuple(tasks)) if any(task.splits for task in tasks) else None


def _name(job: PipelineJob, member: Member) -> str:
    """Its task, and whatever else it was done for each of; its step where others have that too."""
    own = {key: value for key, value in member.values.items() if key not in job.pipeline.each}
    task = own.pop("task", member.of)
    same = {one.of for one in job.members.values() if one.values.get("task") == task}
    step = [member.of] if len(same) > 1 else []
    return " ".join([*step, str(task), *(f"{key}={value}" for key, value in own.items())])


def _result(folder: RunFolder) -> dict[str, Any] | None:
    try:
        return read_result(folder.storage) if folder.exists() else None
    except (OrchestratorError, ValueError):
        return None


def _state(folder: RunFolder) -> str:
    return str(folder.status().state) if folder.exists() else "not started"


def _lacks(result: dict[str, Any]) -> str:
    """A correlation with what is always the same is none."""
    metrics = [pair for values in result["metrics"].values() for pair in values.items()]
    names = dict.fromkeys(name for name, value in metrics if value is None)
    return f"has no {', '.join(names)}" if names else ""


def _together(results: list[dict[str, Any]]) -> dict[str, dict[str, Spread]]:
    """Test counts where there is one: on the other splits models were chosen. No NaN."""
    found: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for split, metrics in result["metrics"].items():
            for name, value in metrics.items():
                values = _seeds(result, split, name) or [value]
                own = found.setdefault(split, {}).setdefault(name, [])
                own += [one for one in values if one is not None]
    chosen = {TEST: found[TEST]} if TEST in found else found
    spreads = {
        split: {
            name: Spread.of(values) for name, values in metrics.items() if values and name != _LOSS
        }
        for split, metrics in chosen.items()
    }
    return {split: metrics for split, metrics in spreads.items() if metrics}


def _seeds(result: dict[str, Any], split: str, name: str) -> list[float | None]:
    """Of a run that had several itself."""
    spread: dict[str, Any] = result.get("spread", {}).get(split, {}).get(name, {})
    return list(spread.get("values", []))
