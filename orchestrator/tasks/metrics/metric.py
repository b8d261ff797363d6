"""A metric: some columns with a row for each example, and a number out of any choice of the rows.

So a bootstrap and a paired test need to know nothing of what they resample; where the value is
`OfSums` they are fast. `settings.task.METRICS` names metrics; an extension registers one of yours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from orchestrator.errors import RequestError
from orchestrator.settings.task import KINDS, METRICS, Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.sums import Columns


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What should have been said, and what was."""

    targets: tuple[Any, ...]
    predictions: Predictions
    labels: Labels


@dataclass(frozen=True, kw_only=True)
class Metric:
    name: str
    columns: Callable[[Outcome], Columns]
    value: Callable[..., float]  # of the columns, or of rows of them
    kinds: frozenset[str] | None = None  # of tasks that it fits; None: any
    most_classes: int | None = None  # that it tells apart; None: any number
    is_loss: bool = False  # less is better

    def of(self, outcome: Outcome) -> float:
        return float(self.value(*self.columns(outcome)))


def outcome_of(examples: Sequence[Example], predictions: Predictions, labels: Labels) -> Outcome:
    targets = tuple(example.target for example in examples)
    return Outcome(targets=targets, predictions=predictions, labels=labels)


def metrics_of(task: Task) -> tuple[Metric, ...]:
    """Those that the task names, or the usual ones of its kind; models are chosen by the first."""
    names = task.metrics or KINDS[task.kind].metrics
    metrics = tuple(cast(Metric, METRICS[name]) for name in names)
    for metric in metrics:
        if metric.kinds is not None and task.kind not in metric.kinds:
            raise RequestError(
                f"task.metrics={metric.name} does not fit task.kind={task.kind}; it is one of "
                f"{', '.join(sorted(metric.kinds))}.",
                hint=f"The usual ones are {', '.join(KINDS[task.kind].metrics)}.",
            )
    return metrics


def measure(task: Task, outcome: Outcome) -> dict[str, float]:
    """Each metric's value, in their order."""
    return {metric.name: metric.of(outcome) for metric in metrics_of(task)}
