"""Metrics of tags: words, and the entities that they make, as seqeval finds them.

An entity is right where its type, its begin and its end are. Columns hold counts of each example.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities

from orchestrator.tasks.features import Array
from orchestrator.tasks.metrics.classes import equal_columns, mean
from orchestrator.tasks.metrics.metric import Metric, Outcome
from orchestrator.tasks.metrics.sums import Columns, OfSums, share

_KINDS = frozenset({"tagging", "intent_slots"})
_JOINT = frozenset({"intent_slots"})
Tags = tuple[str, ...]


def tag_pairs(outcome: Outcome) -> Iterator[tuple[Tags, Tags]]:
    """What each example's words should be tagged, and are."""
    for target, answer in zip(outcome.targets, outcome.predictions.answers, strict=True):
        is_joint = isinstance(target[1], tuple) if len(target) == 2 else False
        yield (target[1], answer[1]) if is_joint else (target, answer)


def _word_columns(outcome: Outcome) -> Columns:
    counts = [
        (sum(map(str.__eq__, target, answer)), len(target)) for target, answer in tag_pairs(outcome)
    ]
    right_E, words_E = np.array(counts, np.int64).T
    return right_E, words_E


def _entity_columns(outcome: Outcome) -> Columns:
    counts = []
    for target, answer in tag_pairs(outcome):
        wanted, said = set(get_entities(list(target))), set(get_entities(list(answer)))
        counts.append((len(wanted & said), len(wanted), len(said)))
    right_E, wanted_E, said_E = np.array(counts, np.int64).T
    return right_E, wanted_E, said_E


def _intent_columns(outcome: Outcome) -> Columns:
    pairs = zip(outcome.targets, outcome.predictions.answers, strict=True)
    return (np.array([target[0] == answer[0] for target, answer in pairs], np.float64),)


def _accuracy(num: int, right: Array, words: Array) -> Array:
    return share(right, words)[:, 0]


def _precision(num: int, right: Array, wanted: Array, said: Array) -> Array:
    return share(right, said)[:, 0]


def _recall(num: int, right: Array, wanted: Array, said: Array) -> Array:
    return share(right, wanted)[:, 0]


def _f1(num: int, right: Array, wanted: Array, said: Array) -> Array:
    return share(2 * right, wanted + said)[:, 0]


TAG_ACCURACY = Metric(
    name="tag_accuracy", columns=_word_columns, value=OfSums(_accuracy), kinds=_KINDS
)
ENTITY_F1 = Metric(name="entity_f1", columns=_entity_columns, value=OfSums(_f1), kinds=_KINDS)
ENTITY_PRECISION = Metric(
    name="entity_precision", columns=_entity_columns, value=OfSums(_precision), kinds=_KINDS
)
ENTITY_RECALL = Metric(
    name="entity_recall", columns=_entity_columns, value=OfSums(_recall), kinds=_KINDS
)
INTENT_ACCURACY = Metric(name="intent_accuracy", columns=_intent_columns, value=mean, kinds=_JOINT)
# The intent and every slot.
FRAME_ACCURACY = Metric(name="frame_accuracy", columns=equal_columns, value=mean, kinds=_JOINT)
