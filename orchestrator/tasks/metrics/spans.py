"""Exact match and F1 of answers, as the scripts of SQuAD 1.1 and 2.0 count them.

Answers are compared without case, punctuation and articles; of several right ones the best counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from orchestrator.tasks.kinds.qa import NO_ANSWER, Answers
from orchestrator.tasks.metrics.classes import mean
from orchestrator.tasks.metrics.metric import Metric, Outcome
from orchestrator.tasks.metrics.sums import Columns

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_KINDS = frozenset({"qa"})


def normalised(answer: str) -> str:
    bare = answer.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def _exact(said: str, right: str, *, has_none: bool) -> float:
    return float(normalised(said) == normalised(right))


def _f1(said: str, right: str, *, has_none: bool) -> float:
    said_words, right_words = normalised(said).split(), normalised(right).split()
    if has_none and not (said_words and right_words):
        return float(said_words == right_words)
    common = sum((Counter(said_words) & Counter(right_words)).values())
    return 2 * common / (len(said_words) + len(right_words)) if common else 0.0


def _columns(score: Callable[..., float], outcome: Outcome) -> Columns:
    """In 2.0 an answer of which nothing remains is none; in 1.1 there is always one."""
    has_none = NO_ANSWER in outcome.labels.classes
    scores = []
    for target, said in zip(outcome.targets, outcome.predictions.answers, strict=True):
        scores.append(
            max(score(said, right, has_none=has_none) for right in _right(target, has_none))
        )
    return (np.array(scores),)


def _right(target: Answers, has_none: bool) -> tuple[str, ...]:
    if not has_none:
        return target.texts or ("",)
    return tuple(text for text in target.texts if normalised(text)) or ("",)


EXACT_MATCH = Metric(
    name="exact_match", columns=partial(_columns, _exact), value=mean, kinds=_KINDS
)
SPAN_F1 = Metric(name="span_f1", columns=partial(_columns, _f1), value=mean, kinds=_KINDS)
