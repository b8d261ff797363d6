"""A metric as the points of a curve: few enough to draw, with every extreme kept.

Rows are cut into buckets of 2^k rows; of each its least and its greatest stay, in order. A bucket
that is full never changes while a run grows, so a live curve is sent from its last bucket on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.tracking.table import Columns, Floats, Ints

AXES = ("step", "tokens", "time")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a page asks for: `seen` is the `mark` of the answer that it already has."""

    metric: str
    axis: str = "step"
    smooth: float = 0.0
    low: float | None = None
    high: float | None = None
    points: int = 2000
    seen: str = ""


def curve(columns: Columns, wish: Wish) -> dict[str, Any]:
    """`x`, `y` and, smoothed, `s`, from point `from` on; `mark` says what they belong to."""
    y_all = columns.values.get(wish.metric, np.full(len(columns), np.nan))
    rows = np.flatnonzero(~np.isnan(y_all))
    x, y = positions(columns, wish.axis)[rows], y_all[rows]
    s = smoothed(y, wish.smooth) if wish.smooth else None
    begin, end = _window(x, wish)
    size = bucket_rows(end - begin, wish.points)
    # A later attempt takes back rows: then an earlier row, or the attempt of the last, differs.
    stamp = f"{begin}.{size}.{int(columns.attempt[rows[begin:end]].sum() if size else 0)}"
    first = _go_on_from(wish.seen, columns.attempt[rows], begin, end, size)
    kept = begin + first + extremes(y[begin + first : end], size)
    return {
        "from": first if size == 1 else first // size * 2,
        "mark": f"{stamp}.{end - begin}",
        "rows": end - begin,
        "x": _short(x[kept]),
        "y": _short(y[kept]),
        **({"s": _short(s[kept])} if s is not None else {}),
    }


def positions(columns: Columns, axis: str) -> Floats:
    """Time is in seconds since the run's first line. Tokens are those of a row's step: who measures
    a rank's load knows of none."""
    if axis == "time":
        return columns.time - columns.time[0] if len(columns) else columns.time
    step, tokens = columns.step.astype(np.float64), columns.tokens.astype(np.float64)
    told = tokens > 0
    if axis == "step" or not told.any():
        return step if axis == "step" else tokens
    return np.where(told, tokens, np.interp(step, step[told], tokens[told]))


def bucket_rows(num_rows: int, points: int) -> int:
    size = 1
    while num_rows // size * (1 if size == 1 else 2) > points:
        size *= 2
    return size


def extremes(y: Floats, size: int) -> Ints:
    """Rows that stay: all where a bucket is one row, else two of each bucket."""
    if size == 1:
        return np.arange(len(y))
    full = len(y) // size
    buckets = y[: full * size].reshape(full, size)
    pair = np.stack([buckets.argmin(axis=1), buckets.argmax(axis=1)], axis=1)
    pair[pair[:, 0] == pair[:, 1]] = (0, size - 1)  # all the same: its ends
    pair.sort(axis=1)
    kept = (pair + np.arange(full)[:, None] * size).ravel()
    return np.concatenate([kept, _of_rest(y, full * size)])


def smoothed(y: Floats, weight: float) -> Floats:
    """An exponential mean over all rows; the first ones are not drawn to zero."""
    sums = np.fromiter(accumulate(y.tolist(), lambda m, v: weight * m + v, initial=0.0), float)
    weights = (1 - np.power(weight, np.arange(1, len(y) + 1))) / (1 - weight)
    return np.asarray(sums[1:] / weights, np.float64)


def _of_rest(y: Floats, begin: int) -> NDArray[np.int64]:
    rest = y[begin:]
    if not len(rest):
        return np.empty(0, np.int64)
    ends = {int(rest.argmin()), int(rest.argmax()), len(rest) - 1}
    return np.array(sorted(ends)) + begin


def _window(x: Floats, wish: Wish) -> tuple[int, int]:
    """Rows in sight, and one on either side so that the line leaves the picture."""
    begin = 0 if wish.low is None else int(np.searchsorted(x, wish.low)) - 1
    end = len(x) if wish.high is None else int(np.searchsorted(x, wish.high, "right")) + 1
    return max(0, begin), min(len(x), end)


def _go_on_from(seen: str, attempts: Ints, begin: int, end: int, size: int) -> int:
    """The first row to send: 0 unless the page has the same rows in the same buckets."""
    try:
        seen_begin, seen_size, seen_sum, seen_rows = map(int, seen.split("."))
    except ValueError:
        return 0
    same = (seen_begin, seen_size) == (begin, size) and seen_rows <= end - begin
    if not same or int(attempts[begin : begin + seen_rows].sum()) != seen_sum:
        return 0
    return seen_rows // size * size


def _short(values: Floats) -> list[float | None]:
    """Seven digits: more than a screen shows, less than a double takes."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values.tolist()]
