"""Metrics that follow from sums over examples: of a thousand resamples as fast as of one.

A resample is how often each example is in it, so all of them are one product of matrices. What a
metric sums up, and what it makes of the sums, is said once for one value and for many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from orchestrator.tasks.features import Array

Columns = tuple[Array, ...]  # the same length each
_AT_ONCE = 2**23  # weights in memory


def as_they_are(*columns: Array) -> tuple[Array, ...]:
    return tuple(column.reshape(-1, 1) for column in columns)


@dataclass(frozen=True)
class OfSums:
    """The value of a `Metric`. `of` is told how many examples there are, and sums [R, K]."""

    of: Callable[..., Array]  # → [R]
    summands: Callable[..., tuple[Any, ...]] = as_they_are  # of columns: [E, K] each, also sparse

    def __call__(self, *columns: Array) -> float:
        num = len(columns[0])
        (value,) = self.of(num, *self._sums(columns, np.ones((1, num))))
        return float(value)

    def of_draws(self, columns: Columns, draws: Iterable[Array]) -> Array:
        """Its value for each choice of rows, with repetitions."""
        num = len(columns[0])

        def some(chosen: Sequence[Array]) -> Array:
            weights_RE = np.stack([np.bincount(rows, minlength=num) for rows in chosen])
            return self.of(num, *self._sums(columns, weights_RE))

        return _in_parts(some, draws, num)

    def of_exchanges(
        self, ours: Columns, theirs: Columns, exchanges: Callable[[], Iterable[Array]]
    ) -> tuple[Array, Array]:
        """Of both sides, with those rows of each that are marked in the place of the other's."""
        num = len(ours[0])

        def side(first: Columns, second: Columns) -> Callable[[Sequence[Array]], Array]:
            def some(chosen: Sequence[Array]) -> Array:
                is_other_RE = np.stack(chosen).astype(np.float64)
                stays = self._sums(first, 1 - is_other_RE)
                comes = self._sums(second, is_other_RE)
                return self.of(num, *map(_added, stays, comes))

            return some

        return (
            _in_parts(side(ours, theirs), exchanges(), num),
            _in_parts(side(theirs, ours), exchanges(), num),
        )

    def _sums(self, columns: Columns, weights_RE: Array) -> list[Array]:
        weights_ER = weights_RE.astype(np.float64).T
        return [(summand.T @ weights_ER).T for summand in self.summands(*columns)]


def _in_parts(some: Callable[[Sequence[Array]], Array], chosen: Iterable[Array], num: int) -> Array:
    left, parts = iter(chosen), []
    while part := list(islice(left, max(1, _AT_ONCE // num))):
        parts.append(some(part))
    return np.concatenate(parts)


def _added(first: Array, second: Array) -> Array:
    """A class that is the last of one side may be missing on the other."""
    if first.shape[1] < second.shape[1]:
        first, second = second, first
    total = first.copy()
    total[:, : second.shape[1]] += second
    return total


def share(part: Array, whole: Array) -> Array:
    """0 where there is nothing to share."""
    shares: Array = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
    return shares
