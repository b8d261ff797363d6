"""Metrics of scores; correlations are scipy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import pearsonr, spearmanr

from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.metric import Metric, Outcome
from orchestrator.tasks.metrics.sums import Columns, OfSums

_KINDS = frozenset({"regression", "similarity"})


def _columns(outcome: Outcome) -> Columns:
    return np.array(outcome.targets, np.float64), np.array(outcome.predictions.answers, np.float64)


def _correlation(of: Callable[..., Any], targets: Array, answers: Array) -> float:
    """NaN where one side is all the same, or too few, and so has no correlation."""
    if len(targets) < 2 or np.ptp(targets) == 0 or np.ptp(answers) == 0:
        return math.nan
    return float(of(targets, answers).statistic)


def _squared(num: int, total: Array) -> Array:
    return total[:, 0] / num


PEARSON = Metric(
    name="pearson", columns=_columns, value=partial(_correlation, pearsonr), kinds=_KINDS
)
SPEARMAN = Metric(
    name="spearman", columns=_columns, value=partial(_correlation, spearmanr), kinds=_KINDS
)
MEAN_SQUARED_ERROR = Metric(
    name="mean_squared_error",
    columns=_columns,
    value=OfSums(_squared, lambda targets, answers: ((targets - answers)[:, None] ** 2,)),
    kinds=_KINDS,
    is_loss=True,
)
