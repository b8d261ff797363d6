"""Mistakes in rows are told by file and row; splits are cut by group, the same ones every time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RequestError, SettingsError
from orchestrator.tasks.example import Example, Row, Where
from orchestrator.tasks.kinds.kind import Columns, kind_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.read import features_key, fingerprint_of, read_examples
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import CONTEXT, ROWS, built, plain_task, read_small, task_of, write_jsonl


def example(text: str, *, number: int = 1) -> Example:
    return Example(texts=(text,), target="a", where=Where("f", number))


def bad(kind: str, **change: Any) -> dict[str, Any]:
    return ROWS[kind][0] | change


FILE = {"path": ["rows"]}
BAD_ROWS = [
    ("classification", {"text": "a"}, "has no label; it has text."),
    ("classification", bad("classification", label=""), "label (empty) is no label."),
    ("classification", bad("classification", label=None), "label (empty) is no label."),
    ("classification", bad("classification", label=1.5), "label (1.5) is no label."),
    ("classification", bad("classification", text="  "), "text is empty."),
    ("classification", bad("classification", text=7), "text=7 is not a text."),
    (
        "regression",
        bad("regression", score=float("nan")),
        "score=nan is not a finite number in fp32.",
    ),
    ("regression", bad("regression", score=10**400), "000 is not a finite number in fp32."),
    ("regression", bad("regression", score=-1e300), "score=-1e+300 is not a finite number in"),
    ("regression", bad("regression", score="much"), "score='much' is not a number."),
    ("similarity", bad("similarity", score=-1), "is less than 0"),
    ("multilabel", bad("multilabel", labels=[1.5]), "is not a list of texts."),
    ("tagging", bad("tagging", tags=["O"]), "4 words and 1 tags have different lengths."),
    ("tagging", bad("tagging", words=[], tags=[]), "words is empty."),
    ("intent_slots", bad("intent_slots", intent=None), "intent (empty) is no label."),
    ("choice", bad("choice", label=3), "label=3 is not the number of a choice: 0 to 2."),
    ("choice", bad("choice", choices="a"), "choices='a' is not a list of texts."),
    ("choice", bad("choice", choices=["a", " "], label=0), "choices=['a', ' '] has an empty text."),
    ("choice", bad("choice", choices=["a"], label=0), "choices=['a'] is nothing to choose from."),
    ("choice", bad("choice", choices='["a", 1]', label=0), "is not a list of texts."),
    ("multilabel", bad("multilabel", labels="['x', 'y']"), "begins as a list of JSON and is none."),
    ("multilabel", bad("multilabel", labels="new york, x"), "has commas and spaces between labels"),
    ("multilabel", bad("multilabel", labels="[[1]]"), "is not a list of texts."),
    (
        "qa",
        bad("qa", answers={"text": ["how"], "answer_start": [CONTEXT.index("how") - len(CONTEXT)]}),
        "is not in its context there.",
    ),
    ("qa", bad("qa", answers={"text": ["x"], "answer_start": [3]}), "is not in its context there."),
    ("qa", bad("qa", answers={"text": [""], "answer_start": [0]}), "is not in its context there."),
    ("qa", bad("qa", answers={"text": ["The"]}), "has no answers of the form"),
    (
        "qa",
        bad("qa", answers={"text": ["The"], "answer_start": [0, 1]}),
        "has not one answer_start for each answer.",
    ),
]


@pytest.mark.parametrize(("kind", "row", "said"), BAD_ROWS)
def test_a_bad_row_is_told_by_file_and_line(
    kind: str, row: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", [*ROWS[kind], row])
    task = built(plain_task(kind, data={"kind": "jsonl", "splits": {"train": {"path": [file]}}}))
    with pytest.raises(SettingsError) as told:
        read_examples(task)
    assert f"task.data.splits.train: {file}, line {len(ROWS[kind]) + 1}" in str(told.value)
    assert said in str(told.value)


def test_alike_mistakes_are_told_once_with_their_number(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": ""} for number in range(9)]
    file = write_jsonl(tmp_path / "rows.jsonl", [*rows, {"text": "", "label": "a"}])
    data = {"kind": "jsonl", "splits": {"train": {"path": [file]}}}
    with pytest.raises(SettingsError) as told:
        read_examples(built(plain_task("classification", data=data)))
    assert len(told.value.lines) == 2
    assert f"{file}, line 3; and 6 more: label (empty) is no label." in told.value.lines[0]


def test_an_empty_split_is_told(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", [])
    data = {"kind": "jsonl", "splits": {"train": {"path": [file]}}}
    with pytest.raises(RequestError) as told:
        read_examples(built(plain_task("classification", data=data)))
    assert f"task.data.splits.train.path=[{file}] has no row." in str(told.value)


def test_columns_of_other_names_are_read(tmp_path: Path) -> None:
    rows = [{"a": {"b": "one"}, "c": 1}, {"a": {"b": "two"}, "c": 0}]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    splits = {name: {"path": [file]} for name in ("train", "validation")}
    plain = plain_task(
        "classification",
        data={"kind": "jsonl", "splits": splits},
        columns={"text": "a.b", "label": "c"},
    )
    examples = read_examples(built(plain))["train"]
    assert [(one.texts, one.target) for one in examples] == [(("one",), "1"), (("two",), "0")]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ('["x", "new york"]', {"x", "new york"}),
        ("[1, 2]", {"1", "2"}),
        ("[]", set()),
        ("x,y", {"x", "y"}),
        (" x, y,", {"x", "y"}),
        ("x y", {"x", "y"}),
        ("", set()),
    ],
)
def test_a_cell_has_labels_as_json_or_with_spaces_or_commas(cell: str, labels: set[str]) -> None:
    row = Row({"text": "a", "labels": cell}, Where("f", 1))
    task = built(plain_task("multilabel", data={"kind": "csv", "splits": {"train": FILE}}))
    assert kind_of(task).read(row, Columns(task=task)).target == labels


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ('["a b", ","]', ("a b", ",")),
        ("one , two", ("one", ",", "two")),
        ("[ 1 ]", ("[", "1", "]")),
        ("[1]", ("[1]",)),
        ("[]", ("[]",)),
    ],
)
def test_a_cell_has_words_as_json_or_with_spaces(cell: str, words: tuple[str, ...]) -> None:
    assert Row({"words": cell}, Where("f", 1)).names("words") == words


def test_choices_in_a_cell_are_json(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('text,choices,label\na,"[""b c"", ""d""]",1\ne,"[""f"", ""g""]",0\n')
    splits = {name: {"path": [str(file)]} for name in ("train", "validation")}
    task = built(plain_task("choice", data={"kind": "csv", "splits": splits}))
    texts = [one.texts for one in read_examples(task)["train"]]
    assert texts == [("a", "b c", "d"), ("e", "f", "g")]


def test_validation_is_cut_off_training_and_never_off_test(tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(50)]
    train = write_jsonl(tmp_path / "train.jsonl", rows[:40])
    test = write_jsonl(tmp_path / "test.jsonl", rows[40:])
    splits = {"train": {"path": [train]}, "test": {"path": [test]}}
    examples = read_examples(
        built(plain_task("classification", data={"kind": "jsonl", "splits": splits}))
    )
    assert len(examples["test"]) == 10
    assert len(examples["validation"]) == 4
    files = {Path(one.where.file).name for one in examples["validation"]}
    assert files == {"train.jsonl"}
    texts = [one.texts for name in ("train", "validation") for one in examples[name]]
    assert sorted(texts) == sorted((row["text"],) for row in rows[:40])


def test_a_validation_split_that_is_there_is_left_alone(tmp_path: Path) -> None:
    examples = read_examples(task_of("classification", tmp_path))
    assert len(examples["train"]) == len(examples["validation"]) == len(ROWS["classification"])


def test_a_fingerprint_is_of_what_is_said_and_not_of_where() -> None:
    one, moved = example("a"), example("a", number=7)
    assert fingerprint_of([one]) == fingerprint_of([moved])
    assert fingerprint_of([one]) != fingerprint_of([example("b")])


def test_features_are_kept_by_all_that_they_are_made_of(
    tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small("classification", tmp_path, tokenizer)
    key = features_key(read.task, read.examples, read.labels, tokenizer)
    longer = task_of("classification", tmp_path, max_tokens=31)
    others = (
        (longer, read.examples, read.labels),
        (read.task, read.examples[1:], read.labels),
        (read.task, read.examples, Labels(classes=("hills", "coast"))),
    )
    again = read_small("classification", tmp_path, tokenizer)
    assert features_key(again.task, again.examples, again.labels, tokenizer) == key
    assert key not in {features_key(*other, tokenizer) for other in others}
