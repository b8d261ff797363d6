"""What is asked of a split is read once and checked; what was said is told whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.errors import RequestError, SettingsError
from orchestrator.settings.task import TEST, TRAIN, VALIDATION, Task
from orchestrator.tasks.answering import answer_slice
from orchestrator.tasks.directory import open_task_directory
from orchestrator.tasks.evaluation import (
    SliceWork,
    answer_lines,
    asked_task,
    joined,
    read_asked,
    refuse_unasked,
)
from orchestrator.tasks.fitted import fit, labels_for, refuse_other_kind
from orchestrator.tasks.heads.sentence import ClassHead
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import metrics_of, outcome_of
from orchestrator.tasks.metrics.report import report_of
from orchestrator.tasks.metrics.resample import compare
from orchestrator.tasks.metrics.told import as_markdown, as_text
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.predict import predict, run
from orchestrator.tasks.read import read_examples
from orchestrator.tasks.record import read_record
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.saved import Folders, Saved
from tests.tasks.small import (
    MODEL,
    ROWS,
    built,
    plain_task,
    read_small,
    task_of,
    write_jsonl,
)

pytestmark = pytest.mark.slow


def many(folder: Path, **data: Any) -> Task:
    """Forty rows in one file, which are divided."""
    rows = [{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(40)]
    file = write_jsonl(folder / "rows.jsonl", rows)
    plain = {"kind": "jsonl", "splits": {"train": {"path": [file]}}, **data}
    return built(plain_task("classification", data=plain))


@pytest.mark.parametrize("split", [TRAIN, VALIDATION, TEST])
def test_a_split_has_the_examples_that_training_saw_in_it(split: str, tmp_path: Path) -> None:
    task = many(tmp_path, test_share=0.2)
    wanted = read_examples(task)[split]
    assert wanted
    found, problems = read_asked(asked_task(task, split, ()), split)
    assert found == wanted and not list(problems.findings())


def test_only_the_files_of_the_split_are_read(tmp_path: Path) -> None:
    task = many(tmp_path)
    held_out = write_jsonl(tmp_path / "held.jsonl", ROWS["classification"])
    splits = {
        **task.data.splits,
        "test": replace(task.data.splits["train"], path=(held_out,)),
        "far": replace(task.data.splits["train"], path=("nowhere.jsonl",)),
    }
    task = replace(task, data=replace(task.data, splits=splits))
    assert len(read_asked(asked_task(task, TEST, ()), TEST)[0]) == len(ROWS["classification"])
    other = write_jsonl(tmp_path / "other.jsonl", ROWS["classification"][:2])
    assert len(read_asked(asked_task(task, "mine", (other,)), "mine")[0]) == 2


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="the task small has none of that name") as caught:
        asked_task(many(tmp_path), "test", ())
    assert "train, validation" in str(caught.value)


def test_labels_that_the_model_does_not_know_are_told_by_file_and_row(tmp_path: Path) -> None:
    task = asked_task(many(tmp_path), TRAIN, ())
    examples, problems = read_asked(task, TRAIN)
    refuse_unasked(examples, problems, task, Labels(classes=("a", "b")), TRAIN)
    with pytest.raises(SettingsError) as caught:
        refuse_unasked(examples, problems, task, Labels(classes=("a", "c")), TRAIN)
    said = str(caught.value)
    assert "rows.jsonl, line 2" in said and "'b' is not a label of the model." in said
    write_jsonl(tmp_path / "rows.jsonl", [{"text": "a", "label": "a"}, {"text": "b"}])
    examples, problems = read_asked(task, TRAIN)
    with pytest.raises(SettingsError, match=r"rows.jsonl, line 2.*has no label"):
        refuse_unasked(examples, problems, task, Labels(classes=("a", "b")), TRAIN)


@pytest.mark.parametrize("kind", list(ROWS))
def test_slices_say_together_what_the_whole_says(
    kind: str, tmp_path: Path, tokenizer_folders: Folders
) -> None:
    saved = Saved(kind, tmp_path, tokenizer_folders)
    read = saved.read
    whole = predict(saved.model, read.features, read.examples, read.labels, read.task)
    told: list[int] = []
    parts = []
    for first in range(len(read.examples)):
        work = SliceWork(
            device="cpu",
            model=str(saved.folder),
            extensions=(),
            task=read.task,
            labels=read.labels,
            first=first,
            examples=read.examples[first : first + 1],
        )
        parts.append(answer_slice(work, told.append).predictions)
    found = joined(parts)
    assert len(told) == len(read.examples)
    np.testing.assert_allclose(found.confidence_E, whole.confidence_E, atol=1e-5)
    if whole.probabilities_EC is not None:
        np.testing.assert_allclose(found.probabilities_EC, whole.probabilities_EC, atol=1e-5)
    if kind in ("regression", "similarity"):
        np.testing.assert_allclose(found.answers, whole.answers, atol=1e-5)
    else:
        assert found.answers == whole.answers


def test_a_metric_of_two_classes_is_not_asked_of_three(tmp_path: Path) -> None:
    task = task_of("classification", tmp_path, metrics=["f1"])
    examples, problems = read_asked(task, TRAIN)
    refuse_unasked(examples, problems, task, Labels(classes=("coast", "hills")), TRAIN)
    labels = Labels(classes=("coast", "hills", "sea"))
    with pytest.raises(SettingsError, match=r"f1 is of 2 classes, and there are 3: .*macro_f1"):
        refuse_unasked(examples, problems, task, labels, TRAIN)


def test_a_model_of_nli_answers_about_any_classes(
    tmp_path: Path, tokenizer_folders: Folders
) -> None:
    """As the model of entailment that has the same weights does."""
    saved = Saved("entailment", tmp_path, tokenizer_folders)
    read = saved.read
    opened = open_task_directory(saved.folder)
    head = ClassHead(MODEL.hidden, len(NLI), dropout=0.0)
    head.load_state_dict(saved.model.head.state_dict())
    judge = replace(
        opened,
        task=replace(read.task, kind="classification"),
        labels=Labels(classes=NLI),
        model=TaskModel(opened.model.encoder, head),
    )
    record = replace(read_record(saved.folder), task=judge.task, labels=judge.labels)
    refuse_other_kind(record, read.task)
    labels = labels_for(record, read.task, read.examples)
    assert labels == read.labels
    fitted = fit(judge, read.task, labels)
    for found, wanted in zip(run(fitted.model, read.features), saved.outputs(), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    odd = replace(record, labels=Labels(classes=("no", "yes")))
    with pytest.raises(RequestError, match="is of kind entailment, and the model was made for"):
        refuse_other_kind(odd, read.task)


def test_files_take_the_place_of_a_data_set_from_a_hub(tmp_path: Path) -> None:
    data = {"kind": "dataset", "hub": "any/set", "splits": {"train": {}, "test": {}}}
    task = built(plain_task("classification", data=data))
    mine = write_jsonl(tmp_path / "mine.jsonl", ROWS["classification"][:3])
    examples, problems = read_asked(asked_task(task, TEST, (mine,)), TEST)
    assert [str(example.where) for example in examples] == [
        f"{mine}, line {number}" for number in (1, 2, 3)
    ]
    assert not [*problems.findings()]
    for odd in ("mine.txt", "mine.csv"):
        with pytest.raises(RequestError, match="names do not say what is in the files"):
            asked_task(task, TEST, (mine, odd))


def test_two_models_are_compared_on_the_same_and_all_of_it_is_told(
    tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    read = read_small("classification", tmp_path, tokenizer)
    targets = [example.target for example in read.examples]
    right = Predictions(answers=tuple(targets), confidence_E=np.array([0.9] * 4))
    wrong = Predictions(answers=tuple(["coast"] * 4), confidence_E=np.array([0.6, 0.9, 0.8, 0.7]))
    outcomes = [outcome_of(read.examples, one, read.labels) for one in (wrong, right)]
    report = report_of(
        read.task, TEST, read.examples, outcomes[0], truncated_share=0.25, resamples=100
    )
    accuracy = metrics_of(read.task)[0]
    told = [compare(accuracy, outcomes[1], outcomes[0], resamples=100)]
    for text in (as_markdown(report, told, ("us", "them")), as_text(report, told, ("us", "them"))):
        assert "0.5000" in text and "-0.5000" in text and "25.0% of the examples" in text
        assert "them" in text and "hills" in text
    page = as_markdown(report, told, ("us", "them"))
    assert page.index("0.9000") < page.index("0.8000")  # the mistakes, surest first
    lines = [json.loads(line) for line in answer_lines(read.examples, wrong, right)]
    assert [line["target"] for line in lines] == targets
    assert [line["compared"] for line in lines] == targets
    assert [line["confidence"] for line in lines] == [0.6, 0.9, 0.8, 0.7]
