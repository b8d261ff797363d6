"""The `evaluate` job: what a model for a task gets right, how sure that is, and where it errs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orchestrator.settings.field import Bounds, PathKind, setting
from orchestrator.settings.job import Job
from orchestrator.settings.task import TEST, Task
from orchestrator.settings.units import Count


@dataclass(frozen=True, kw_only=True)
class EvaluateJob(Job):
    kind: ClassVar[str] = "evaluate"

    encoder: str = setting(
        "The model: a run that made one for a task, or its directory", path=PathKind.FILE_OR_NAME
    )
    compare: str | None = setting(
        "Another model for the same task, asked the same: a run or a directory",
        default=None,
        path=PathKind.FILE_OR_NAME,
    )
    task: Task | None = setting(
        "Whose examples are asked; null: those of the task that the model was made for",
        default=None,
    )
    split: str = setting("Which of them", default=TEST)
    path: tuple[str, ...] = setting(
        "Files of examples in place of the split's, as the task's own are", default=(),
        path=PathKind.FILE,
    )  # fmt: skip
    resamples: Count = setting(
        "Draws from the examples behind an interval, and exchanges behind a p",
        default=1000,
        bounds=Bounds(at_least=100, at_most=100_000),
    )
    part_examples: Count = setting(
        "Examples that one task answers", default=512, bounds=Bounds(at_least=1)
    )
