"""Of many resamples at once the same comes out as of one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from orchestrator.settings.task import METRICS
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import Metric, Outcome
from orchestrator.tasks.metrics.resample import compare, measured
from orchestrator.tasks.metrics.sums import OfSums

NAMES = tuple("abcdefg")
TAGS = ("O", "B-x", "I-x")
SIZE = 60


def sides(kind: str, seed: int) -> list[Any]:
    generator = np.random.default_rng(seed)
    match kind:
        case "class":  # the last classes are rare
            return [NAMES[int(n)] for n in generator.exponential(1.5, SIZE).clip(max=6)]
        case "set":
            return [frozenset(generator.choice(NAMES, size=2).tolist()) for _ in range(SIZE)]
        case "score":
            return cast(list[Any], generator.normal(size=SIZE).tolist())
    return [tuple(generator.choice(TAGS, size=5).tolist()) for _ in range(SIZE)]


def outcomes(kind: str) -> tuple[Outcome, Outcome]:
    """Of two models, some of whose answers are right."""
    targets = sides(kind, 0)
    found = []
    for seed in (1, 2):
        is_right = np.random.default_rng(seed + 10).random(SIZE) < 0.4
        pairs = zip(is_right, targets, sides(kind, seed), strict=True)
        answers = tuple(target if right else other for right, target, other in pairs)
        predictions = Predictions(answers=answers, confidence_E=np.full(SIZE, np.nan))
        labels = Labels(classes=NAMES, tags=TAGS)
        found.append(Outcome(targets=tuple(targets), predictions=predictions, labels=labels))
    return found[0], found[1]


CASES = [
    *[("class", name) for name in ("accuracy", "f1", "macro_f1", "micro_f1", "matthews")],
    *[("class", name) for name in ("macro_precision", "macro_recall")],
    *[("set", name) for name in ("accuracy", "macro_f1", "micro_f1", "macro_recall")],
    *[("tags", name) for name in ("tag_accuracy", "entity_f1", "entity_precision")],
    ("score", "mean_squared_error"),
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_many_resamples_at_once_are_each_as_by_itself(kind: str, name: str) -> None:
    metric = cast(Metric, METRICS[name])
    assert isinstance(metric.value, OfSums)
    value = metric.value
    slow = replace(metric, value=lambda *columns: value(*columns))
    first, second = outcomes(kind)
    fast_ones = measured(metric, first, resamples=30), compare(metric, first, second, resamples=30)
    slow_ones = measured(slow, first, resamples=30), compare(slow, first, second, resamples=30)
    for fast, one_by_one in zip(fast_ones, slow_ones, strict=True):
        figures = [vars(each) | {"name": 0} for each in (fast, one_by_one)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-12)


def test_each_resample_is_what_scikit_learn_finds_of_its_rows() -> None:
    """Also where a class is in none of the rows."""
    outcome, _ = outcomes("class")
    generator = np.random.default_rng(3)
    draws = [generator.integers(SIZE, size=SIZE) for _ in range(40)]
    for name, score in {
        "macro_f1": lambda *both: f1_score(*both, average="macro", zero_division=0),
        "matthews": matthews_corrcoef,
    }.items():
        metric = METRICS[name]
        columns = metric.columns(outcome)
        found = metric.value.of_draws(columns, draws)
        expected = [score(*(column[rows] for column in columns)) for rows in draws]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
