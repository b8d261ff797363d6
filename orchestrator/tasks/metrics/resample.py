"""How sure a metric is: intervals by bootstrap over examples, and a paired test of two models.

Both draw from a seeded generator: the same predictions give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from orchestrator.errors import RequestError
from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.metric import Metric, Outcome
from orchestrator.tasks.metrics.sums import Columns, OfSums

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
    draws = _draws(len(columns[0]), resamples=resamples, seed=seed)
    low, high = _bounds(_values(metric, columns, draws))
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
    draws = partial(_draws, len(ours[0]), resamples=resamples, seed=seed)
    low, high = _bounds(_values(metric, theirs, draws()) - _values(metric, ours, draws()))
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
    exchanges = partial(_exchanges, len(ours[0]), resamples=resamples, seed=seed)
    if isinstance(metric.value, OfSums):
        first, second = metric.value.of_exchanges(ours, theirs, exchanges)
    else:
        sides = [_exchanged(ours, theirs, is_other) for is_other in exchanges()]
        first, second = np.array([[metric.value(*one) for one in pair] for pair in sides]).T
    as_large = int((abs(second - first) >= seen - 1e-12).sum())
    return (1 + as_large) / (resamples + 1)


def _exchanged(ours: Columns, theirs: Columns, is_other: Array) -> tuple[Columns, Columns]:
    pairs = list(zip(ours, theirs, strict=True))
    return (
        tuple(_either(is_other, b, a) for a, b in pairs),
        tuple(_either(is_other, a, b) for a, b in pairs),
    )


def _either(is_first: Array, first: Array, second: Array) -> Array:
    return np.where(is_first.reshape(-1, *[1] * (first.ndim - 1)), first, second)


def _draws(size: int, *, resamples: int, seed: int) -> Iterator[Array]:
    generator = np.random.default_rng([seed, 0])
    return (generator.integers(size, size=size) for _ in range(resamples))


def _exchanges(size: int, *, resamples: int, seed: int) -> Iterator[Array]:
    generator = np.random.default_rng([seed, 1])
    return (generator.random(size) < 0.5 for _ in range(resamples))


def _values(metric: Metric, columns: Columns, draws: Iterable[Array]) -> Array:
    if isinstance(metric.value, OfSums):
        return metric.value.of_draws(columns, draws)
    return np.array([metric.value(*(column[rows] for column in columns)) for rows in draws])


def _bounds(values: Array) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
