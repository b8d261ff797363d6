"""Metrics of classes, as scikit-learn counts them: one class an example, or any number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.metric import Metric, Outcome
from orchestrator.tasks.metrics.sums import Columns, OfSums, share

Score = Callable[[Array, Array, Array], Array]  # right, of, said → of each class

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


def _counts(targets: Array, answers: Array) -> tuple[Any, ...]:
    """By class: right ones, those that are of it, those that were said to be, those that occur."""
    if targets.ndim > 1:
        return targets & answers, targets, answers, np.ones(targets.shape)
    num_classes = int(max(targets.max(), answers.max())) + 1
    is_of, is_said = _marks(targets, num_classes), _marks(answers, num_classes)
    return is_of.multiply(is_said), is_of, is_said, is_of + is_said


def _marks(numbers: Array, num_classes: int) -> csr_array:
    """A row has a one in its class's column; sparse, since there may be hundreds."""
    begins = np.arange(len(numbers) + 1)
    return csr_array((np.ones(len(numbers)), numbers, begins), (len(numbers), num_classes))


def _f1(right: Array, of: Array, said: Array) -> Array:
    return share(2 * right, of + said)


def _precision(right: Array, of: Array, said: Array) -> Array:
    return share(right, said)


def _recall(right: Array, of: Array, said: Array) -> Array:
    return share(right, of)


def _macro(score: Score) -> OfSums:
    """The mean over classes that occur; a class of which nothing is right counts as 0."""

    def of(num: int, right: Array, of: Array, said: Array, occur: Array) -> Array:
        return share(score(right, of, said).sum(axis=1), (occur > 0).sum(axis=1))

    return OfSums(of, _counts)


def _micro_f1(num: int, right: Array, of: Array, said: Array, occur: Array) -> Array:
    return _f1(*(counts.sum(axis=1) for counts in (right, of, said)))


def _f1_of_last(num: int, right: Array, of: Array, said: Array, occur: Array) -> Array:
    """Of the second of two classes, which need not occur."""
    return _f1(right, of, said)[:, 1] if right.shape[1] > 1 else np.zeros(len(right))


def _matthews(num: int, right: Array, of: Array, said: Array, occur: Array) -> Array:
    """0 where there is but one class on a side: nothing to correlate."""
    together = right.sum(axis=1) * num - (of * said).sum(axis=1)
    spread_of, spread_said = (num**2 - (one**2).sum(axis=1) for one in (of, said))
    return share(together, np.sqrt(spread_of * spread_said))


def _mean(num: int, total: Array) -> Array:
    return total[:, 0] / num


mean = OfSums(_mean)


# Of several labels all must be right.
ACCURACY = Metric(name="accuracy", columns=equal_columns, value=mean, kinds=_ANY | {"choice"})
F1 = Metric(
    name="f1",
    columns=class_columns,
    value=OfSums(_f1_of_last, _counts),
    kinds=_ONE,
    most_classes=2,
)
MACRO_F1 = Metric(name="macro_f1", columns=class_columns, value=_macro(_f1), kinds=_ANY)
MICRO_F1 = Metric(
    name="micro_f1", columns=class_columns, value=OfSums(_micro_f1, _counts), kinds=_ANY
)
MACRO_PRECISION = Metric(
    name="macro_precision", columns=class_columns, value=_macro(_precision), kinds=_ANY
)
MACRO_RECALL = Metric(name="macro_recall", columns=class_columns, value=_macro(_recall), kinds=_ANY)
MATTHEWS = Metric(
    name="matthews", columns=class_columns, value=OfSums(_matthews, _counts), kinds=_ONE
)
