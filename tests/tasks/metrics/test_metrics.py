"""Metrics equal those of scikit-learn, scipy, seqeval and, by hand, of SQuAD's scripts."""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from sklearn import metrics as sklearn_metrics

from orchestrator.settings.task import METRICS
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.kinds.qa import NO_ANSWER, Answers
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import Outcome
from orchestrator.tasks.metrics.spans import normalised

NAMES = ("a", "b", "c", "d")


def outcome(targets: list[Any], answers: list[Any], labels: Labels) -> Outcome:
    predictions = Predictions(answers=tuple(answers), confidence_E=np.full(len(answers), np.nan))
    return Outcome(targets=tuple(targets), predictions=predictions, labels=labels)


def value(name: str, targets: list[Any], answers: list[Any], labels: Labels) -> float:
    return float(METRICS[name].of(outcome(targets, answers, labels)))


numbers = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(pairs=numbers)
def test_classes_are_measured_as_by_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    targets, answers = ([pair[side] for pair in pairs] for side in (0, 1))
    names = [[NAMES[number] for number in side] for side in (targets, answers)]
    sk = sklearn_metrics
    macro = {"average": "macro", "zero_division": 0}
    expected = {
        "accuracy": sk.accuracy_score(targets, answers),
        "macro_f1": sk.f1_score(targets, answers, **macro),
        "micro_f1": sk.f1_score(targets, answers, average="micro", zero_division=0),
        "macro_precision": sk.precision_score(targets, answers, **macro),
        "macro_recall": sk.recall_score(targets, answers, **macro),
    }
    if len({*targets, *answers}) > 1:  # else it warns, and is 0
        expected["matthews"] = sk.matthews_corrcoef(targets, answers)
    found = {name: value(name, *names, Labels(classes=NAMES)) for name in expected}
    assert found == pytest.approx(expected)


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_f1_is_of_the_second_of_two_classes(pairs: list[tuple[bool, bool]]) -> None:
    targets, answers = ([int(pair[side]) for pair in pairs] for side in (0, 1))
    names = [["no" if number == 0 else "yes" for number in side] for side in (targets, answers)]
    expected = sklearn_metrics.f1_score(targets, answers, zero_division=0)
    assert value("f1", *names, Labels(classes=("no", "yes"))) == pytest.approx(expected)


sets = st.frozensets(st.sampled_from(NAMES))


@given(pairs=st.lists(st.tuples(sets, sets), min_size=1, max_size=20))
def test_several_labels_are_measured_as_by_scikit_learn(
    pairs: list[tuple[frozenset[str], frozenset[str]]],
) -> None:
    targets, answers = ([pair[side] for pair in pairs] for side in (0, 1))
    matrices = [
        np.array([[name in names for name in NAMES] for names in side], int)
        for side in (targets, answers)
    ]
    labels = Labels(classes=NAMES)
    for average in ("micro", "macro"):
        expected = sklearn_metrics.f1_score(*matrices, average=average, zero_division=0)
        assert value(f"{average}_f1", targets, answers, labels) == pytest.approx(expected)
    expected = sklearn_metrics.accuracy_score(*matrices)
    assert value("accuracy", targets, answers, labels) == pytest.approx(expected)


def test_scores_are_measured_as_by_scipy() -> None:
    generator = np.random.default_rng(0)
    targets = generator.normal(size=50).round(1)
    answers = targets + generator.normal(size=50)
    plain = targets.tolist(), answers.tolist()
    assert value("pearson", *plain, Labels()) == pytest.approx(pearsonr(*plain).statistic)
    assert value("spearman", *plain, Labels()) == pytest.approx(spearmanr(*plain).statistic)
    expected = float(((targets - answers) ** 2).mean())
    assert value("mean_squared_error", *plain, Labels()) == pytest.approx(expected)


def test_a_constant_has_no_correlation() -> None:
    assert math.isnan(value("pearson", [1.0, 2.0], [3.0, 3.0], Labels()))
    assert math.isnan(value("spearman", [1.0], [3.0], Labels()))


tags = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])
sentence = st.integers(1, 8).flatmap(
    lambda size: st.tuples(*[st.lists(tags, min_size=size, max_size=size)] * 2)
)


@given(pairs=st.lists(sentence, min_size=1, max_size=8))
def test_entities_are_those_of_seqeval(pairs: list[tuple[list[str], list[str]]]) -> None:
    targets, answers = ([pair[side] for pair in pairs] for side in (0, 1))
    sides = [tuple(one) for one in targets], [tuple(one) for one in answers]
    expected = {
        "entity_f1": entity_f1(targets, answers, zero_division=0),
        "entity_precision": entity_precision(targets, answers, zero_division=0),
        "entity_recall": entity_recall(targets, answers, zero_division=0),
        "tag_accuracy": sklearn_metrics.accuracy_score(*map(list, map(chain.from_iterable, sides))),
    }
    found = {name: value(name, *sides, Labels()) for name in expected}
    assert found == pytest.approx(expected)


def test_a_frame_is_right_where_intent_and_slots_are() -> None:
    targets = [("go", ("O", "B-x")), ("go", ("O", "O")), ("stop", ("B-x",))]
    answers = [("go", ("O", "B-x")), ("stop", ("O", "O")), ("stop", ("O",))]
    found = {
        name: value(name, targets, answers, Labels())
        for name in ("frame_accuracy", "intent_accuracy", "entity_recall", "tag_accuracy")
    }
    assert found == pytest.approx(
        {
            "frame_accuracy": 1 / 3,
            "intent_accuracy": 2 / 3,
            "entity_recall": 1 / 2,
            "tag_accuracy": 4 / 5,
        }
    )


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("The  Quick-Brown fox.", "quickbrown fox"),
        ("an A-Team, a theatre", "ateam theatre"),
        ("the", ""),
        ("Łódź’s «city»", "łódź’s «city»"),
        ("$1,302", "1302"),
    ],
)
def test_answers_are_compared_as_squad_does(answer: str, plain: str) -> None:
    assert normalised(answer) == plain


# What was said, what is right, exact match and F1 as SQuAD 1.1 and 2.0 count them.
SPANS = [
    ("the eastern hills", ("eastern hills",), (1, 1), (1, 1)),
    ("eastern hills of the north", ("The eastern hills", "hills"), (0, 2 / 3), (0, 2 / 3)),
    ("in the hills hills", ("hills",), (0, 0.5), (0, 0.5)),
    ("river", ("coast",), (0, 0), (0, 0)),
    ("", ("coast",), (0, 0), (0, 0)),
    ("the", ("the",), (1, 0), (1, 1)),
    ("", ("the",), (1, 0), (1, 1)),
    ("", ("the", "fox"), (1, 0), (0, 0)),
    ("", (), None, (1, 1)),
    ("coast", (), None, (0, 0)),
]


@pytest.mark.parametrize(("said", "right", "first", "second"), SPANS)
def test_spans_count_as_in_both_versions_of_squad(
    said: str,
    right: tuple[str, ...],
    first: tuple[float, float] | None,
    second: tuple[float, float],
) -> None:
    target = Answers(right, (0,) * len(right))
    for version, labels in ((first, Labels()), (second, Labels(classes=(NO_ANSWER,)))):
        if version is not None:
            found = [value(name, [target], [said], labels) for name in ("exact_match", "span_f1")]
            assert found == pytest.approx(list(version))


def test_a_single_class_has_no_correlation() -> None:
    assert value("matthews", ["a", "a"], ["a", "a"], Labels(classes=NAMES)) == 0
