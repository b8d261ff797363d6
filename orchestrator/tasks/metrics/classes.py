"""Metrics of classes, by scikit-learn: of one class an example, or of any number of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.metrics import (
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.metric import Columns, Metric, Outcome

_ONE = frozenset({"classification", "entailment"})
_ANY = _ONE | {"multilabel"}


def class_columns(outcome: Outcome) -> Columns:
    """Targets and answers: numbers, or a matrix of truth values where there are several."""
    ids = outcome.labels.class_ids
    sides = (outcome.targets, outcome.predictions.answers)
    if isinstance(outcome.predictions.answers[0], frozenset):
        return tuple(
            np.array([[name in names for name in ids] for names in side]) for side in sides
        )
    return tuple(np.array([ids[name] for name in side], np.int64) for side in sides)


def equal_columns(outcome: Outcome) -> Columns:
    pairs = zip(outcome.targets, outcome.predictions.answers, strict=True)
    return (np.array([target == answer for target, answer in pairs], np.float64),)


def _f1_of_last(targets: Array, answers: Array) -> float:
    """Of the second of two classes."""
    return float(f1_score(targets, answers, labels=[1], average="macro", zero_division=0))


def _matthews(targets: Array, answers: Array) -> float:
    """0 where there is but one class on both sides: nothing to correlate."""
    if (targets == targets[0]).all() and (answers == targets[0]).all():
        return 0.0
    return float(matthews_corrcoef(targets, answers))


def _averaged(score: Callable[..., float], average: str) -> Callable[..., float]:
    """Over the classes that occur; a class of which nothing is right counts as 0."""
    return partial(score, average=average, zero_division=0)


def mean(column: Array) -> float:
    return float(column.mean())


# Of several labels all must be right.
ACCURACY = Metric(name="accuracy", columns=equal_columns, value=mean, kinds=_ANY | {"choice"})
F1 = Metric(name="f1", columns=class_columns, value=_f1_of_last, kinds=_ONE)
MACRO_F1 = Metric(
    name="macro_f1", columns=class_columns, value=_averaged(f1_score, "macro"), kinds=_ANY
)
MICRO_F1 = Metric(
    name="micro_f1", columns=class_columns, value=_averaged(f1_score, "micro"), kinds=_ANY
)
MACRO_PRECISION = Metric(
    name="macro_precision",
    columns=class_columns,
    value=_averaged(precision_score, "macro"),
    kinds=_ANY,
)
MACRO_RECALL = Metric(
    name="macro_recall", columns=class_columns, value=_averaged(recall_score, "macro"), kinds=_ANY
)
MATTHEWS = Metric(name="matthews", columns=class_columns, value=_matthews, kinds=_ONE)
