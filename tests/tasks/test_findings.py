"""What is wrong with data as a whole, or with an encoder for it, is found before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.encoder.directory import Directory
from orchestrator.settings.task import KINDS, Task
from orchestrator.tasks.findings import check_task, cut_warnings, encoder_findings
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.labels import Labels, labels_of
from orchestrator.tasks.read import read_examples
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import MODEL, ROWS, built, plain_task, task_of, write_jsonl


def said_of(task: Task) -> list[str]:
    return [str(finding) for finding in check_task(task, read_examples(task))]


def with_splits(folder: Path, kind: str, splits: dict[str, list[Any]], **more: Any) -> Task:
    files = {
        name: {"path": [write_jsonl(folder / f"{name}.jsonl", rows)]}
        for name, rows in splits.items()
    }
    return built(plain_task(kind, data={"kind": "jsonl", "splits": files}, **more))


@pytest.mark.parametrize("kind", list(KINDS))
def test_nothing_is_found_in_good_data(kind: str, tmp_path: Path) -> None:
    assert said_of(task_of(kind, tmp_path)) == []


def test_labels_that_training_never_had_are_told_by_line(tmp_path: Path) -> None:
    rows = ROWS["classification"]
    strange = [{"text": "timber", "label": "coasts"}, {"text": "tin", "label": "coasts"}]
    task = with_splits(
        tmp_path, "classification", {"train": rows, "validation": [*rows[:1], *strange]}
    )
    (said,) = said_of(task)
    file = tmp_path / "validation.jsonl"
    assert said == (
        f"task.data.splits.validation: {file}, line 2; {file}, line 3: 'coasts' is in no training "
        "example. Try coast."
    )


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("tagging", {"tags": ["O", "B-z", "O", "O"]}),
        ("intent_slots", {"intent": "wait"}),
        ("multilabel", {"labels": ["sky"]}),
    ],
)
def test_other_kinds_tell_strange_labels_too(
    kind: str, change: dict[str, Any], tmp_path: Path
) -> None:
    strange = ROWS[kind][0] | change
    task = with_splits(tmp_path, kind, {"train": ROWS[kind], "validation": [strange]})
    (said,) = said_of(task)
    assert "validation.jsonl, line 1: " in said and "is in no training example" in said


def test_a_question_without_answer_is_strange_where_training_has_none(tmp_path: Path) -> None:
    *answered, unanswered = ROWS["qa"]
    task = with_splits(tmp_path, "qa", {"train": answered, "validation": [unanswered]})
    (said,) = said_of(task)
    assert "'no answer' is in no training example" in said


def test_labels_that_are_named_must_be_all(tmp_path: Path) -> None:
    task = task_of("classification", tmp_path, labels=["coast", "sky"])
    said = said_of(task)
    assert len(said) == 2
    assert "line 2; " in said[0] and "'hills' is not one of task.labels." in said[0]


@pytest.mark.parametrize("kind", ["choice", "regression", "similarity"])
def test_labels_of_a_kind_that_has_none_are_told(kind: str, tmp_path: Path) -> None:
    task = task_of(kind, tmp_path, labels=["0", "1"])
    assert said_of(task) == [
        f"task.labels=[0, 1] names labels, and the targets of kind={kind} have none. "
        "Try task.labels=[]."
    ]
    assert labels_of(task, kind_of(task), read_examples(task)["train"]) == Labels()


@pytest.mark.parametrize("kind", ["classification", "regression", "tagging"])
def test_targets_that_are_all_the_same_are_told(kind: str, tmp_path: Path) -> None:
    rows = [ROWS[kind][0]] * 3
    (said,) = said_of(with_splits(tmp_path, kind, {"train": rows, "validation": rows}))
    assert "all 3 examples have the target" in said and "nothing can be learned" in said


def test_a_cut_that_takes_nothing_is_told_with_the_groups(tmp_path: Path) -> None:
    rows = [row | {"site": "x"} for row in ROWS["classification"]]
    file = write_jsonl(tmp_path / "train.jsonl", rows)
    data = {"kind": "jsonl", "splits": {"train": {"path": [file]}}, "group": "site"}
    (said,) = said_of(built(plain_task("classification", data=data)))
    assert said == (
        "task.data.validation_share=0.1 gives validation no example of 4: groups of "
        "task.data.group=site stay whole (1 in all: 4 of x), and training keeps an example of each "
        "label. Try task.data.splits.validation.path=[…]."
    )
    rows[0]["site"] = rows[1]["site"] = "y"
    write_jsonl(tmp_path / "train.jsonl", rows)
    test, validation = (
        said_of(built(plain_task("classification", data=data | {f"{cut}_share": 0.2})))
        for cut in ("test", "validation")
    )
    assert len(test) == 1 and "validation no example of 2" in test[0]
    assert validation == []


@pytest.mark.parametrize("rows", [ROWS["classification"][:1], ROWS["entailment"]])
def test_rows_of_which_none_can_be_spared_are_told(rows: list[Any], tmp_path: Path) -> None:
    (said,) = said_of(with_splits(tmp_path, "classification", {"train": rows}))
    sizes = ", ".join("1" for _ in rows)
    assert f"validation no example of {len(rows)}: equal texts stay together" in said
    assert f"({len(rows)} in all: {sizes})" in said


def test_a_cut_that_is_far_from_what_was_asked_is_warned_of(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": "ab"[n % 2], "site": "xy"[n // 60]} for n in range(120)]
    file = write_jsonl(tmp_path / "train.jsonl", rows)
    data = {"kind": "jsonl", "splits": {"train": {"path": [file]}}}
    task = built(plain_task("classification", data=data | {"group": "site"}))
    (said,) = cut_warnings(task, read_examples(task))
    assert said.startswith(
        "validation has 60 of 120 examples, and task.data.validation_share=0.1 asks for 12: groups "
        "of task.data.group=site stay whole (2 in all: 60 of x, 60 of y)"
    )
    task = built(plain_task("classification", data=data))
    assert not [*cut_warnings(task, read_examples(task))]


def test_metrics_and_columns_must_fit_the_kind(tmp_path: Path) -> None:
    task = task_of("classification", tmp_path, metrics=["entity_f1"], columns={"tag": "a"})
    metric, column = said_of(task)
    assert metric.startswith("task.metrics=entity_f1 does not fit kind=classification")
    assert column.startswith("task.columns.tag is nothing that kind=classification reads")


def test_a_metric_of_two_classes_is_not_one_of_three(tmp_path: Path) -> None:
    metrics = ["f1", "accuracy"]
    assert said_of(task_of("classification", tmp_path, metrics=metrics)) == []
    (said,) = said_of(task_of("entailment", tmp_path, metrics=metrics))
    assert said == (
        "task.metrics=f1 is of 2 classes, and there are 3: coast, exports, hills. Try macro_f1, "
        "all classes alike, or micro_f1, all examples alike."
    )


def test_an_encoder_must_have_positions_and_words_enough(
    tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    task = task_of("classification", tmp_path, max_tokens=65)
    fitting = Directory(path=Path("enc"), model=MODEL, vocab_size=tokenizer.vocab_size, pad_id=0)
    (said,) = map(str, encoder_findings(task, fitting, tokenizer))
    assert said == (
        "task.max_tokens=65 is more than the 64 positions of encoder=enc. Try task.max_tokens=64."
    )
    small = Directory(path=Path("enc"), model=MODEL, vocab_size=9, pad_id=0)
    short = task_of("classification", tmp_path)
    (said,) = map(str, encoder_findings(short, small, tokenizer))
    assert "has embeddings for 9 words and its tokenizer has" in said
