"""What a report says: intervals, tables, calibration, mistakes; and two models side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from orchestrator.errors import RequestError
from orchestrator.settings.task import KINDS, METRICS
from orchestrator.tasks.example import Example, Where
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.kinds.qa import NO_ANSWER, Answers
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import Outcome, outcome_of
from orchestrator.tasks.metrics.picture import confusion_svg
from orchestrator.tasks.metrics.report import report_of
from orchestrator.tasks.metrics.resample import compare, measured
from orchestrator.tasks.metrics.tables import (
    calibration,
    class_rows,
    class_sides,
    confusion,
    tag_sides,
    worst_mistakes,
)
from orchestrator.tasks.metrics.told import as_markdown
from orchestrator.tasks.predict import predict
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import read_small

LABELS = Labels(classes=("a", "b"))


def outcome_with(targets: str, answers: str, shares: list[float] | None = None) -> Outcome:
    sure = np.array(shares or [0.9] * len(answers))
    probabilities = np.stack(
        [np.where([answer == name for answer in answers], sure, 1 - sure) for name in "ab"], axis=1
    )
    predictions = Predictions(
        answers=tuple(answers), confidence_E=sure, probabilities_EC=probabilities
    )
    return Outcome(targets=tuple(targets), predictions=predictions, labels=LABELS)


def drawn(size: int, accuracy: float, *, seed: int = 0) -> Outcome:
    """Of one sequence of targets."""
    targets = "".join(np.random.default_rng(9).choice(["a", "b"], size))
    is_right = np.random.default_rng(seed).random(size) < accuracy
    pairs = zip(targets, is_right, strict=True)
    return outcome_with(targets, "".join(t if ok else "ab"[t == "a"] for t, ok in pairs))


def test_an_interval_holds_its_value_and_narrows_with_more_examples() -> None:
    few = measured(METRICS["accuracy"], drawn(50, 0.8), resamples=200)
    many = measured(METRICS["accuracy"], drawn(2000, 0.8), resamples=200)
    for one in (few, many):
        assert one.low <= one.value <= one.high
    assert many.high - many.low < (few.high - few.low) / 3
    # Of a share the interval is known: 1.96 standard errors to either side.
    half = 1.96 * math.sqrt(many.value * (1 - many.value) / 2000)
    assert (many.high - many.low) / 2 == pytest.approx(half, rel=0.2)


def test_the_same_predictions_give_the_same_figures() -> None:
    figures = [measured(METRICS["macro_f1"], drawn(40, 0.7), resamples=50) for _ in range(2)]
    assert figures[0] == figures[1]


def test_two_models_that_say_the_same_do_not_differ() -> None:
    model = drawn(60, 0.7)
    found = compare(METRICS["accuracy"], model, model, resamples=50)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_a_clear_difference_is_found_and_a_doubtful_one_is_not() -> None:
    weak, strong = drawn(300, 0.6, seed=1), drawn(300, 0.9, seed=2)
    clear = compare(METRICS["accuracy"], weak, strong, resamples=200)
    assert clear.value > 0.2 and clear.low > 0 and clear.p < 0.01
    turned = compare(METRICS["accuracy"], strong, weak, resamples=200)
    assert turned.value == -clear.value and turned.high < 0
    doubtful = compare(
        METRICS["accuracy"], drawn(300, 0.8, seed=5), drawn(300, 0.8, seed=7), resamples=200
    )
    assert doubtful.p > 0.05 and doubtful.low < 0 < doubtful.high


def test_a_paired_test_agrees_with_the_exact_one_of_mcnemar() -> None:
    """Where the models differ in 8 examples and one is right in 7 of them: 2 · 9 / 2^8."""
    first = outcome_with("a" * 40, "a" * 33 + "b" * 7)
    second = outcome_with("a" * 40, "a" * 32 + "b" + "a" * 7)
    found = compare(METRICS["accuracy"], first, second, resamples=4000)
    assert found.p == pytest.approx(2 * 9 / 2**8, abs=0.02)


def test_models_are_compared_on_the_same_examples_only() -> None:
    with pytest.raises(RequestError, match="were not asked the same"):
        compare(METRICS["accuracy"], outcome_with("ab", "ab"), outcome_with("ba", "ab"))


def test_a_calibrated_model_has_no_calibration_error() -> None:
    right = outcome_with("a" * 8 + "b" * 2, "a" * 10, [0.8] * 10)
    assert calibration(right)[0] == pytest.approx(0)
    too_sure = outcome_with("a" * 5 + "b" * 5, "a" * 10, [0.9] * 10)
    error, bins = calibration(too_sure)
    assert error == pytest.approx(0.4)
    assert [(one.count, round(one.accuracy, 6)) for one in bins] == [(10, 0.5)]
    mixed = outcome_with("aabb", "aaaa", [0.9, 0.9, 0.6, 0.6])
    assert calibration(mixed)[0] == pytest.approx((0.1 + 0.6) / 2)


def test_the_surest_mistakes_come_first() -> None:
    outcome = outcome_with("aabb", "abab", [0.6, 0.7, 0.9, 0.8])
    examples = [
        Example(texts=(f"text {number}",), target=target, where=Where("f", number))
        for number, target in enumerate("aabb")
    ]
    mistakes = worst_mistakes(examples, outcome)
    assert [(one.texts[0], one.answer, one.confidence) for one in mistakes] == [
        ("text 2", "a", 0.9),
        ("text 1", "b", 0.7),
    ]
    assert len(worst_mistakes(examples, outcome, count=1)) == 1


def test_an_answer_that_matches_exactly_is_no_mistake() -> None:
    targets = (Answers(("timber",), (12,)), Answers(("tin", "coffee"), (20, 24)), Answers((), ()))
    examples = [
        Example(texts=("what?", "The timber, tin, coffee."), target=target, where=Where("f", line))
        for line, target in enumerate(targets, 1)
    ]
    sure = np.array([0.9, 0.8, 0.7])
    for labels, said in ((Labels(classes=(NO_ANSWER,)), ""), (Labels(), "timber")):
        predictions = Predictions(answers=("The Timber,", "tin, coffee", said), confidence_E=sure)
        outcome = outcome_of(examples, predictions, labels)
        exact = METRICS["exact_match"].of(outcome)
        mistakes = worst_mistakes(examples, outcome)
        assert [one.answer for one in mistakes] == ["tin, coffee", *([said] if said else [])]
        assert len(mistakes) == round(3 * (1 - exact))


def test_tables_count_every_example() -> None:
    outcome = drawn(100, 0.7)
    counts, names = confusion(class_sides(outcome))
    assert names == ("a", "b") and counts.sum() == 100
    rows = class_rows(class_sides(outcome))
    assert [row.support for row in rows] == counts.sum(axis=1).tolist()
    assert rows[0].recall == pytest.approx(counts[0, 0] / counts[0].sum())
    assert rows[1].precision == pytest.approx(counts[1, 1] / counts[:, 1].sum())


def frames(*pairs: tuple[str, str, float]) -> Outcome:
    """An intent and tags, what was said of them, and how surely."""
    of = [[(one[0], tuple(one[1:])) for one in side] for side in list(zip(*pairs, strict=True))[:2]]
    sure = np.array([pair[2] for pair in pairs])
    is_a = np.array([answer[0] == "a" for answer in of[1]])
    predictions = Predictions(
        answers=tuple(of[1]),
        confidence_E=sure * 0.5,
        probabilities_EC=np.stack(
            [np.where(is_a, sure, 1 - sure), np.where(is_a, 1 - sure, sure)], 1
        ),
    )
    labels = Labels(classes=("a", "b"), tags=("x", "y"))
    return Outcome(targets=tuple(of[0]), predictions=predictions, labels=labels)


def test_intents_and_tags_have_tables_of_their_own() -> None:
    outcome = frames(("axy", "axx", 0.9), ("bxx", "axx", 0.9), ("bx", "bx", 0.6))
    counts, names = confusion(class_sides(outcome))
    assert names == ("a", "b") and counts.tolist() == [[1, 0], [1, 1]]
    intents = class_rows(class_sides(outcome))
    assert [(row.name, row.recall, row.support) for row in intents] == [("a", 1, 1), ("b", 0.5, 2)]
    counts, names = confusion(tag_sides(outcome))
    assert names == ("x", "y") and counts.tolist() == [[4, 0], [1, 0]]
    assert [row.support for row in class_rows(tag_sides(outcome))] == [4, 1]
    assert calibration(outcome)[0] == pytest.approx((2 * 0.4 + 0.4) / 3)  # of intents


def test_calibration_is_of_what_a_confidence_is_of() -> None:
    """Of several labels each decision; of tags the words that are right; of spans exact match."""
    answers = (frozenset("a"), frozenset("ab"))
    shares = np.array([[0.9, 0.2], [0.9, 0.8]])
    predictions = Predictions(
        answers=answers, confidence_E=np.array([0.8, 0.8]), probabilities_EC=shares
    )
    outcome = Outcome(targets=(answers[0], frozenset("b")), predictions=predictions, labels=LABELS)
    assert calibration(outcome)[0] == pytest.approx((2 * 0.4 + 2 * 0.2) / 4)
    predictions = Predictions(answers=(("x", "x"), ("x",)), confidence_E=np.array([0.8, 0.8]))
    targets: tuple[Any, ...] = (("x", "y"), ("x",))
    tagged = Outcome(targets=targets, predictions=predictions, labels=Labels(tags=("x", "y")))
    assert calibration(tagged)[0] == pytest.approx(0.05)
    predictions = Predictions(answers=("The tin", "tin"), confidence_E=np.array([0.7, 0.7]))
    targets = (Answers(("tin",), (4,)), Answers(("coffee",), (4,)))
    spans = Outcome(targets=targets, predictions=predictions, labels=Labels())
    assert calibration(spans)[0] == pytest.approx(0.2)
    predictions = Predictions(answers=(1, 0), confidence_E=np.array([0.7, 0.7]))
    choices = Outcome(targets=(1, 1), predictions=predictions, labels=Labels())
    assert calibration(choices)[0] == pytest.approx(0.2)


def no_nan(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_has_a_report_that_is_json(
    kind: str, tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small(kind, tmp_path, tokenizer)
    model = read.model(tokenizer)
    predictions = predict(model, read.features, read.examples, read.labels, read.task)
    outcome = outcome_of(read.examples, predictions, read.labels)
    report = report_of(
        read.task, "validation", read.examples, outcome, truncated_share=0.25, resamples=5
    )
    plain = json.loads(json.dumps(report.plain()), parse_constant=no_nan)
    assert plain["num_examples"] == len(read.examples)
    assert plain["truncated_share"] == 0.25
    assert [one["name"] for one in plain["metrics"]] == list(read.kind.metrics)
    names = read.labels.tags if kind == "tagging" else read.labels.classes
    if kind in ("classification", "entailment", "tagging", "intent_slots"):
        assert report.confusion_names == names
        picture = ElementTree.fromstring(report.pictures["confusion"])
        said = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert set(names) <= set(said)
    is_scored = kind in ("regression", "similarity")
    assert (plain["calibration_error"] is None) == is_scored
    assert sum(one["count"] for one in plain["calibration"]) == (
        0 if is_scored else len(read.examples) * (3 if kind == "multilabel" else 1)
    )
    page = as_markdown(report, [], ("us",))
    assert ("## Tags" in page) == ("tag_confusion.svg" in page) == (kind == "intent_slots")
    assert {f"({name}.svg)" in page for name in report.pictures} <= {True}
    if kind not in ("choice", "qa", "regression", "similarity"):
        assert [row["name"] for row in plain["classes"]] != []


def test_names_in_a_picture_are_text_and_no_markup() -> None:
    labels = Labels(classes=("<b>&", "x" * 99))
    predictions = Predictions(answers=labels.classes, confidence_E=np.ones(2))
    outcome = Outcome(targets=labels.classes, predictions=predictions, labels=labels)
    picture = ElementTree.fromstring(confusion_svg(*confusion(class_sides(outcome))))
    assert "<b>&" in [text.text for text in picture.iter() if text.text]
