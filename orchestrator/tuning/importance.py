"""Which dimensions of a space a sweep's value hangs on, judged from the trials that finished.

A forest of trees learns the value from the points; what it loses when a dimension is shuffled is
that dimension's importance. How well it foretells trials that its trees have not seen is told
beside it: without that, bars of equal length would look like knowledge. The dashboard shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.settings.space import Dimension, Shape, Space
from orchestrator.tuning.trials import Fate, Trial

LEAST_TRIALS = 8
_TREES, _SHUFFLES = 100, 5
_WEAK = 0.2


@dataclass(frozen=True, kw_only=True)
class Importance:
    num_trials: int  # that finished, from which it follows
    shares: tuple[tuple[str, float], ...] = ()  # key, share of all; the largest first
    foretold: float | None = None  # R² for trials left out of a tree: 1 is all, 0 is no better
    caution: str = ""  # why there are no shares, or why they say little


def importance_of(space: Space, trials: Iterable[Trial]) -> Importance:
    done = [each for each in trials if each.fate is Fate.FINISHED and each.value is not None]
    dimensions = _varied(space, done)
    if len(done) < LEAST_TRIALS:
        return Importance(
            num_trials=len(done),
            caution=f"{len(done)} trials have finished; from {LEAST_TRIALS} on it can be judged "
            "which settings matter.",
        )
    values = np.array([trial.value for trial in done], np.float64)
    if not dimensions or np.ptp(values) == 0:
        same = "settings" if not dimensions else "values"
        return Importance(
            num_trials=len(done),
            caution=f"The {len(done)} trials that finished have all the same {same}.",
        )
    points = np.array([_places(each, done) for each in dimensions]).T
    losses, foretold = _losses(points, values)
    total = float(losses.sum()) or 1.0
    pairs = zip((each.key for each in dimensions), (losses / total).tolist(), strict=True)
    return Importance(
        num_trials=len(done),
        shares=tuple(sorted(pairs, key=lambda pair: -pair[1])),
        foretold=foretold,
        caution="" if foretold >= _WEAK else _caution(foretold),
    )


def _losses(points: NDArray[Any], values: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """What each column's shuffling costs, and R² out of bag. The same for the same trials."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    forest = RandomForestRegressor(
        n_estimators=_TREES, min_samples_leaf=2, oob_score=True, random_state=0
    )
    forest.fit(points, values)
    found = permutation_importance(forest, points, values, n_repeats=_SHUFFLES, random_state=0)
    return np.maximum(found.importances_mean, 0.0), float(forest.oob_score_)


def _caution(foretold: float) -> str:
    how = "no better than their mean does" if foretold <= 0 else "hardly better than their mean"
    return f"Settings foretell trials that were left out {how}: take the order for a hint."


def _varied(space: Space, trials: Sequence[Trial]) -> list[Dimension]:
    """Those of which the trials have more than one value."""
    return [
        each
        for each in space.dimensions
        if len({repr(trial.point.get(each.key)) for trial in trials}) > 1
    ]


def _places(dimension: Dimension, trials: Sequence[Trial]) -> NDArray[Any]:
    """Where it does not apply, the middle of where it does: that it is there at all is known from
    the dimension that its `when` names, and is to count there."""
    places = np.array([_place(dimension, trial.point.get(dimension.key)) for trial in trials])
    return np.where(np.isnan(places), np.nanmedian(places), places)


def _place(dimension: Dimension, value: Any) -> float:
    if dimension.shape is Shape.CHOICE:
        return float(dimension.values.index(value)) if value in dimension.values else np.nan
    return np.nan if value is None else float(value)
