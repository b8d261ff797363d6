"""A task is read and made into tokens once; whoever asks for the same again opens what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import SettingsError
from orchestrator.runs.storage import open_storage
from orchestrator.settings.task import Task
from orchestrator.tasks.prepared import FOLDER, Kept, open_prepared, prepare_task
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import task_of


def prepared(task: Task, folder: Path, tokenizer: TaskTokenizer) -> tuple[Kept, list[str]]:
    """And what it told that was made into tokens."""
    told: list[str] = []
    kept = prepare_task(task, tokenizer, open_storage(folder / "runs"), told.append)
    assert told[0] == "reading small"
    return kept, told[1:]


def test_a_second_fine_tune_makes_no_tokens_again(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    task = task_of("classification", tmp_path)
    first, made = prepared(task, tmp_path, tokenizer)
    assert made == [f"tokenizing small, {split}: 4 examples" for split in ("train", "validation")]
    assert prepared(replace(task, metrics=("macro_f1",)), tmp_path, tokenizer) == (first, [])
    storage = open_storage(tmp_path / "runs")
    assert len(open_prepared(storage, first.file).training.features) == first.examples == 4
    longer, made = prepared(replace(task, max_tokens=33), tmp_path, tokenizer)
    assert len(made) == 2 and longer == replace(first, file=longer.file) != first
    assert {f"{FOLDER}/{entry.name}" for entry in storage.list(FOLDER)} == {first.file, longer.file}


def test_a_question_that_has_no_room_is_told_before_anything_is_kept(
    tmp_path: Path, tokenizer: TaskTokenizer
) -> None:
    task = task_of("qa", tmp_path, max_tokens=10, stride=2)
    with pytest.raises(SettingsError, match=r"max_tokens=10 has room for 6 tokens of a question"):
        prepared(task, tmp_path, tokenizer)
    assert not (tmp_path / "runs" / FOLDER).exists()
