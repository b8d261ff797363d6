"""PB2's proposals: a Gaussian process over settings and time foretells what an interval gains.

Of many points the one with the best upper bound is taken; those that others of the same interval
were given count as if they had come out as foretold. Made anew from the ledger for each question.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from orchestrator.settings.space import Dimension, Point, Shape, Space
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.rungs import per_interval
from orchestrator.tuning.trials import Trial

_CANDIDATES = 512
_BOLDNESS = 1.0  # standard deviations above what is foretold
_LEAST = 2  # observations; before that points are drawn

Floats = NDArray[np.float64]


def suggest(
    job: SweepJob,
    trials: Sequence[Trial],
    pending: Sequence[Point],
    chance: random.Random,
    *,
    is_loss: bool,
) -> Point:
    space = job.read_space()
    seen = list(_gains(job, trials, -1.0 if is_loss else 1.0))
    drawn = [_drawn(space, chance) for _ in range(_CANDIDATES)]
    if len(seen) < _LEAST:
        return drawn[0]
    now = max(interval for interval, _, _ in seen) + 1
    known = np.array([[interval / now, *_places(space, point)] for interval, point, _ in seen])
    gains = np.array([gain for _, _, gain in seen])
    candidates = np.array([[1.0, *_places(space, point)] for point in drawn])
    process = _fitted(known, gains)
    for point in pending:
        place = np.array([[1.0, *_places(space, point)]])
        known = np.vstack([known, place])
        gains = np.append(gains, process.predict(place))
        process = _fitted(known, gains, process.kernel_)
    mean, spread = process.predict(candidates, return_std=True)
    return drawn[int(np.argmax(mean + _BOLDNESS * spread))]


def _gains(
    job: SweepJob, trials: Sequence[Trial], sign: float
) -> Iterator[tuple[int, Point, float]]:
    """Of each trial in each interval but the first: which settings it had, what they gained."""
    by_number, each = {trial.number: trial for trial in trials}, per_interval(job)
    for trial in trials:
        for interval in range(2, len(trial.measured) // each + 1):
            begin, before = trial.measured[(interval - 1) * each - 1]
            leg = next(leg for leg in reversed(trial.legs) if leg.epochs <= begin)
            if leg.source is not None and leg.epochs == begin:
                before = by_number[leg.source].measured[(interval - 1) * each - 1][1]
            yield interval, leg.point, sign * (trial.measured[interval * each - 1][1] - before)


def _fitted(known: Floats, gains: Floats, kernel: Any = None) -> GaussianProcessRegressor:
    """Without a kernel that was fitted before, its lengths follow from what is known."""
    new = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(
        length_scale=np.full(known.shape[1], 0.5), length_scale_bounds=(0.05, 10.0), nu=2.5
    ) + WhiteKernel(0.1, (1e-4, 1.0))
    process = GaussianProcessRegressor(
        kernel=kernel or new,
        optimizer=None if kernel is not None else "fmin_l_bfgs_b",
        normalize_y=bool(np.ptp(gains) > 0),
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound says enough
        return process.fit(known, gains)


def _drawn(space: Space, chance: random.Random) -> Point:
    return {each.key: each.at(chance.random()) for each in space.dimensions}


def _places(space: Space, point: Point) -> list[float]:
    """From 0 to 1, as the dimension counts."""
    return [_place(each, point[each.key]) for each in space.dimensions]


def _place(dimension: Dimension, value: float) -> float:
    low, high = map(float, dimension.values)
    if dimension.shape is Shape.LOG_UNIFORM:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)
