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
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.classes import class_columns, equal_columns
from orchestrator.tasks.metrics.metric import Outcome
from orchestrator.tasks.metrics.spans import EXACT_MATCH
from orchestrator.tasks.metrics.words import INTENT_ACCURACY, TAG_ACCURACY, tag_pairs

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


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What should have been said and what was, as numbers of names; no names where it is none."""

    targets: Array
    answers: Array
    names: tuple[str, ...]


def class_sides(outcome: Outcome) -> Sides:
    """Of classes, of intents, or of tags where there are no classes."""
    labels = outcome.labels
    if _is_joint(labels):
        ids, answers = labels.class_ids, outcome.predictions.answers
        sides = [np.array([ids[one[0]] for one in side]) for side in (outcome.targets, answers)]
        return Sides(targets=sides[0], answers=sides[1], names=labels.classes)
    if labels.classes and isinstance(outcome.targets[0], str | frozenset):
        targets, said = class_columns(outcome)
        return Sides(targets=targets, answers=said, names=labels.classes)
    return _sides_of_words(outcome)


def tag_sides(outcome: Outcome) -> Sides:
    """Of the words of intents with slots."""
    return _sides_of_words(outcome) if _is_joint(outcome.labels) else _NO_SIDES


def class_rows(sides: Sides) -> tuple[ClassRow, ...]:
    names = sides.names
    if not names:
        return ()
    scores = precision_recall_fscore_support(
        sides.targets, sides.answers, labels=range(len(names)), average=None, zero_division=0
    )
    return tuple(
        ClassRow(name=name, precision=p, recall=r, f1=f, support=int(support))
        for name, p, r, f, support in zip(
            names, *(column.tolist() for column in scores), strict=True
        )
    )


def confusion(sides: Sides) -> tuple[Int64s, tuple[str, ...]]:
    """How many of a class (row) were said to be of another (column). Empty for several labels."""
    names = sides.names
    if not names or sides.targets.ndim > 1:
        return np.zeros((0, 0), np.int64), ()
    return confusion_matrix(sides.targets, sides.answers, labels=range(len(names))), names


def calibration(outcome: Outcome, *, bins: int = BINS) -> tuple[float, tuple[Bin, ...]]:
    """Expected calibration error, and its bins of equal width. NaN without confidences."""
    sure_N, right_N = _decisions(outcome)
    if np.isnan(sure_N).any():
        return float("nan"), ()
    # Intervals are closed at the top: 1.0 is in the last one.
    place_N = np.clip(np.ceil(sure_N * bins).astype(int) - 1, 0, bins - 1)
    found = tuple(
        Bin(
            confidence=float(sure_N[place_N == place].mean()),
            accuracy=float(right_N[place_N == place].mean()),
            count=int((place_N == place).sum()),
        )
        for place in range(bins)
        if (place_N == place).any()
    )
    error = sum(one.count * abs(one.confidence - one.accuracy) for one in found)
    return error / len(sure_N), found


def _decisions(outcome: Outcome) -> tuple[Array, Array]:
    """How sure each was, and how right: answers, intents, of several labels the yes or no of each.

    Of tags an example is as sure as its words are on average, and as right as the share that is.
    """
    predictions, labels = outcome.predictions, outcome.labels
    shares_EC = predictions.probabilities_EC
    if _is_joint(labels) and shares_EC is not None:
        return shares_EC.max(axis=1), *INTENT_ACCURACY.columns(outcome)
    if isinstance(outcome.targets[0], frozenset) and shares_EC is not None:
        wanted_EC, said_EC = class_columns(outcome)
        return (abs(shares_EC - 0.5) + 0.5).ravel(), (wanted_EC == said_EC).ravel()
    if labels.tags:
        right_E, words_E = TAG_ACCURACY.columns(outcome)
        return predictions.confidence_E, right_E / words_E
    return predictions.confidence_E, _right(outcome)


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


def _is_joint(labels: Labels) -> bool:
    """Of intents with slots."""
    return bool(labels.classes and labels.tags)


_NO_SIDES = Sides(targets=np.zeros(0), answers=np.zeros(0), names=())


def _sides_of_words(outcome: Outcome) -> Sides:
    names, ids = outcome.labels.tags, outcome.labels.tag_ids
    if not names:
        return _NO_SIDES
    pairs = list(tag_pairs(outcome))
    sides = [[ids[tag] for pair in pairs for tag in pair[side]] for side in (0, 1)]
    return Sides(targets=np.array(sides[0]), answers=np.array(sides[1]), names=names)
