"""Where a model is right and where it errs: classes, their confusion, its calibration, mistakes.

Pure, of an outcome; `report` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from orchestrator.corpus.arrays import Int64s
from orchestrator.tasks.example import Example, plain_of
from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.classes import class_columns, equal_columns
from orchestrator.tasks.metrics.metric import Outcome
from orchestrator.tasks.metrics.spans import EXACT_MATCH
from orchestrator.tasks.metrics.words import tag_pairs

BINS = 15


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    name: str
    precision: float
    recall: float
    f1: float
    support: int  # examples, or words, that are of it


@dataclass(frozen=True, kw_only=True)
class Mistake:
    where: str
    texts: tuple[str, ...]
    target: Any
    answer: Any
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Of answers whose confidence is alike."""

    confidence: float  # their mean
    accuracy: float
    count: int


def has_classes(outcome: Outcome) -> bool:
    return bool(outcome.labels.classes) and isinstance(outcome.targets[0], str | frozenset)


def class_rows(outcome: Outcome) -> tuple[ClassRow, ...]:
    """Of classes, of intents, or of tags."""
    targets, answers, names = _sides(outcome)
    if not names:
        return ()
    scores = precision_recall_fscore_support(
        targets, answers, labels=range(len(names)), average=None, zero_division=0
    )
    return tuple(
        ClassRow(name=name, precision=p, recall=r, f1=f, support=int(support))
        for name, p, r, f, support in zip(
            names, *(column.tolist() for column in scores), strict=True
        )
    )


def confusion(outcome: Outcome) -> tuple[Int64s, tuple[str, ...]]:
    """How many of a class (row) were said to be of another (column). Empty for several labels."""
    targets, answers, names = _sides(outcome)
    if not names or targets.ndim > 1:
        return np.zeros((0, 0), np.int64), ()
    return confusion_matrix(targets, answers, labels=range(len(names))), names


def calibration(outcome: Outcome, *, bins: int = BINS) -> tuple[float, tuple[Bin, ...]]:
    """Expected calibration error, and its bins of equal width. NaN without probabilities."""
    shares_EC = outcome.predictions.probabilities_EC
    if shares_EC is None:
        return float("nan"), ()
    sure_E = shares_EC.max(axis=1)
    names = outcome.labels.classes
    said = (names[number] for number in shares_EC.argmax(axis=1).tolist())
    right = (target[0] if isinstance(target, tuple) else target for target in outcome.targets)
    is_right_E = np.array([a == b for a, b in zip(said, right, strict=True)])
    # Intervals are closed at the top: 1.0 is in the last one.
    place_E = np.clip(np.ceil(sure_E * bins).astype(int) - 1, 0, bins - 1)
    found = tuple(
        Bin(
            confidence=float(sure_E[place_E == place].mean()),
            accuracy=float(is_right_E[place_E == place].mean()),
            count=int((place_E == place).sum()),
        )
        for place in range(bins)
        if (place_E == place).any()
    )
    error = sum(one.count * abs(one.confidence - one.accuracy) for one in found)
    return error / len(sure_E), found


def worst_mistakes(
    examples: Sequence[Example], outcome: Outcome, *, count: int = 20
) -> tuple[Mistake, ...]:
    """The wrong answers that the model was surest of; of scores those that are farthest off."""
    answers, sure_E = outcome.predictions.answers, outcome.predictions.confidence_E
    if np.isnan(sure_E).all():
        wrong_E = abs(np.array(outcome.targets) - np.array(answers))
        order = [number for number in np.argsort(-wrong_E, kind="stable") if wrong_E[number] > 0]
    else:
        right_E = _right(outcome)
        order = [number for number in np.argsort(-sure_E, kind="stable") if not right_E[number]]
    return tuple(
        Mistake(
            where=str(examples[number].where),
            texts=examples[number].texts,
            target=plain_of(outcome.targets[number]),
            answer=plain_of(answers[number]),
            confidence=float(sure_E[number]),
        )
        for number in order[:count]
    )


def _right(outcome: Outcome) -> Array:
    """[E], 1 or 0; an answer out of a context as exact match counts it."""
    is_span = hasattr(outcome.targets[0], "texts")
    (right_E,) = EXACT_MATCH.columns(outcome) if is_span else equal_columns(outcome)
    return right_E


def _sides(outcome: Outcome) -> tuple[Array, Array, tuple[str, ...]]:
    """Targets and answers as numbers of names."""
    labels = outcome.labels
    if has_classes(outcome):
        targets, answers = class_columns(outcome)
        return targets, answers, labels.classes
    if labels.tags:
        ids = labels.tag_ids
        pairs = list(tag_pairs(outcome))
        sides = [[ids[tag] for pair in pairs for tag in pair[side]] for side in (0, 1)]
        return np.array(sides[0]), np.array(sides[1]), labels.tags
    return np.zeros(0), np.zeros(0), ()
