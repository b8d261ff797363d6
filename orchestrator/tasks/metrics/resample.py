"""How sure a metric is: intervals by bootstrap over examples, and a paired test of two models.

Both draw from a seeded generator: the same predictions give the same figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from orchestrator.errors import RequestError
from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.metric import Columns, Metric, Outcome

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Measured:
    """NaN where a metric has no value, as a correlation with a constant."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of the second model to the first on the same examples; p: how often chance alone, giving
    each example's two answers to either model, makes as large a one.
    """

    name: str
    first: float
    second: float
    low: float
    high: float
    p: float

    @property
    def value(self) -> float:
        return self.second - self.first


def measured(
    metric: Metric, outcome: Outcome, *, resamples: int = RESAMPLES, seed: int = 0
) -> Measured:
    columns = metric.columns(outcome)
    draws = [
        metric.value(*_rows(columns, rows))
        for rows in _draws(len(columns[0]), resamples=resamples, seed=seed)
    ]
    low, high = _bounds(draws)
    value = float(metric.value(*columns))
    return Measured(name=metric.name, value=value, low=low, high=high)


def compare(
    metric: Metric,
    first: Outcome,
    second: Outcome,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    if first.targets != second.targets:
        raise RequestError(
            f"The two models were not asked the same: {len(first.targets):,} and "
            f"{len(second.targets):,} examples, or other targets.",
            hint="Compare predictions on the same split of the same data.",
        )
    ours, theirs = metric.columns(first), metric.columns(second)
    values = float(metric.value(*ours)), float(metric.value(*theirs))
    size = len(ours[0])
    differences = [
        metric.value(*_rows(theirs, rows)) - metric.value(*_rows(ours, rows))
        for rows in _draws(size, resamples=resamples, seed=seed)
    ]
    low, high = _bounds(differences)
    return Difference(
        name=metric.name,
        first=values[0],
        second=values[1],
        low=low,
        high=high,
        p=_chance(metric, ours, theirs, resamples=resamples, seed=seed),
    )


def _chance(metric: Metric, ours: Columns, theirs: Columns, *, resamples: int, seed: int) -> float:
    """The share of random exchanges that differ as much; what is seen counts as one of them."""
    seen = abs(metric.value(*theirs) - metric.value(*ours))
    generator = np.random.default_rng([seed, 1])
    as_large = 1
    for _ in range(resamples):
        is_swapped = generator.random(len(ours[0])) < 0.5
        first = tuple(_either(is_swapped, b, a) for a, b in zip(ours, theirs, strict=True))
        second = tuple(_either(is_swapped, a, b) for a, b in zip(ours, theirs, strict=True))
        as_large += abs(metric.value(*second) - metric.value(*first)) >= seen - 1e-12
    return as_large / (resamples + 1)


def _either(is_first: Array, first: Array, second: Array) -> Array:
    return np.where(is_first.reshape(-1, *[1] * (first.ndim - 1)), first, second)


def _draws(size: int, *, resamples: int, seed: int) -> list[Array]:
    generator = np.random.default_rng([seed, 0])
    return [generator.integers(size, size=size) for _ in range(resamples)]


def _rows(columns: Columns, rows: Array) -> Columns:
    return tuple(column[rows] for column in columns)


def _bounds(draws: list[float]) -> tuple[float, float]:
    known = [draw for draw in draws if not math.isnan(draw)]
    if not known:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
