"""All that is said of a model on a split: `evaluate` writes it as JSON, and the picture apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.metrics.metric import Outcome, metrics_of
from orchestrator.tasks.metrics.picture import confusion_svg
from orchestrator.tasks.metrics.resample import RESAMPLES, Measured, measured
from orchestrator.tasks.metrics.tables import (
    Bin,
    ClassRow,
    Mistake,
    calibration,
    class_rows,
    class_sides,
    confusion,
    tag_sides,
    worst_mistakes,
)


@dataclass(frozen=True, kw_only=True)
class Report:
    task: str
    split: str
    num_examples: int
    truncated_share: float
    metrics: tuple[Measured, ...]
    classes: tuple[ClassRow, ...]  # intents; tags where there are no classes
    tags: tuple[ClassRow, ...]  # of intents with slots
    calibration_error: float  # NaN where a kind has no confidence
    calibration: tuple[Bin, ...]
    mistakes: tuple[Mistake, ...]
    confusion: tuple[tuple[int, ...], ...]
    confusion_names: tuple[str, ...]
    tag_confusion: tuple[tuple[int, ...], ...]
    tag_confusion_names: tuple[str, ...]
    pictures: dict[str, str]  # SVG: confusion, tag_confusion, where there are such

    def plain(self) -> dict[str, Any]:
        """For JSON, which has no NaN; pictures are files of their own."""
        plain = asdict(self)
        del plain["pictures"]
        return {"schema": "orchestrator.report/1", **_without_nan(plain)}


def report_of(
    task: Task,
    split: str,
    examples: Sequence[Example],
    outcome: Outcome,
    *,
    truncated_share: float,
    resamples: int = RESAMPLES,
) -> Report:
    error, bins = calibration(outcome)
    classes, tags = class_sides(outcome), tag_sides(outcome)
    drawn = {"confusion": confusion(classes), "tag_confusion": confusion(tags)}
    (counts_CC, names), (tags_CC, tag_names) = drawn.values()
    return Report(
        task=task.name,
        split=split,
        num_examples=len(examples),
        truncated_share=truncated_share,
        metrics=tuple(
            measured(metric, outcome, resamples=resamples) for metric in metrics_of(task)
        ),
        classes=class_rows(classes),
        tags=class_rows(tags),
        calibration_error=error,
        calibration=bins,
        mistakes=worst_mistakes(examples, outcome),
        confusion=tuple(tuple(row) for row in counts_CC.tolist()),
        confusion_names=names,
        tag_confusion=tuple(tuple(row) for row in tags_CC.tolist()),
        tag_confusion_names=tag_names,
        pictures={name: confusion_svg(*one) for name, one in drawn.items() if one[1]},
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
