"""What would spoil a fine-tune is told by its plan, by file and row, before anything starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.runs.plan import Plan
from tests.tasks.encoders import an_encoder
from tests.tasks.small import CONTEXT

pytestmark = pytest.mark.slow

GOOD = [{"text": f"the river {n}", "label": "ab"[n % 2]} for n in range(20)]
SCORES = [{"text": f"the river {n}", "score": n / 4} for n in range(20)]
Rows = Sequence[dict[str, Any]]


def planned(folder: Path, kind: str, splits: dict[str, Rows], *more: str, **encoder: Any) -> Plan:
    model = an_encoder(folder / "encoder", **encoder)
    words = [f"encoder={model}", "task=own_classes", f"task.kind={kind}", "task.data.kind=jsonl"]
    for name, some in splits.items():
        file = folder / f"{name}.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in some))
        words.append(f"task.data.splits.{name}.path=[{file}]")
    orchestrator = Orchestrator(str(folder / "runs"), working_dir=folder)
    words = ["task.max_tokens=32", *words, *more]
    return orchestrator.plan("finetune", words, place=Place.HERE)


def findings(folder: Path, *given: Any, **encoder: Any) -> str:
    made = planned(folder, *given, **encoder)
    return "\n".join(map(str, made.findings)).replace(f"{folder}/", "")


def test_a_second_text_that_nobody_reads_is_warned_of(tmp_path: Path) -> None:
    rows = [row | {"pair": "the hills"} for row in GOOD]
    made = planned(tmp_path, "classification", {"train": rows})
    assert made.findings == ()
    (warning,) = made.warnings
    assert "have a column pair, which is not read: task.columns.pair=pair reads it." in warning


def test_a_validation_split_that_is_larger_than_asked_is_warned_of(tmp_path: Path) -> None:
    sites = [{**row, "site": "xy"[n // 10]} for n, row in enumerate(GOOD)]
    made = planned(tmp_path, "classification", {"train": sites}, "task.data.group=site")
    (warning,) = made.warnings
    assert made.findings == () and warning.startswith("validation has 10 of 20 examples, and")


def test_a_group_that_is_all_there_is_cannot_be_cut_off(tmp_path: Path) -> None:
    site = [{**row, "site": "x"} for row in GOOD]
    told = findings(tmp_path, "classification", {"train": site}, "task.data.group=site")
    assert told.startswith("task.data.validation_share=0.1 gives validation no example of 20:")


def test_labels_that_training_never_had_and_too_long_samples_are_told_together(
    tmp_path: Path,
) -> None:
    validation = [*GOOD[:4], {"text": "the hills", "label": "c"}]
    splits = {"train": GOOD, "validation": validation}
    told = findings(tmp_path, "classification", splits, "task.max_tokens=100", positions=64)
    assert "validation.jsonl, line 5" in told and "'c' is in no training example" in told
    assert "task.max_tokens=100 is more than the 64 positions" in told


def test_rows_without_a_column_or_a_label_are_named(tmp_path: Path) -> None:
    rows = [*GOOD, {"text": "no label"}, {"text": "the coast", "label": ""}]
    told = findings(tmp_path, "classification", {"train": rows})
    assert "train.jsonl, line 21 has no label; it has text." in told
    assert "train.jsonl, line 22: label (empty) is no label." in told


@pytest.mark.parametrize(
    ("kind", "rows", "target"),
    [
        ("classification", [{**row, "label": "a"} for row in GOOD], "a"),
        ("regression", [{**row, "score": 2} for row in SCORES], "2.0"),
        ("tagging", [{"words": ["a"] * n, "tags": ["O"] * n} for n in range(1, 20)], "O"),
    ],
)
def test_targets_that_are_all_the_same_teach_nothing(
    tmp_path: Path, kind: str, rows: Rows, target: str
) -> None:
    told = findings(tmp_path, kind, {"train": rows})
    assert told.startswith("task.data.splits.train: all 1")
    assert f"examples have the target {target!r} and nothing can be learned" in told


def test_tags_are_as_many_as_words(tmp_path: Path) -> None:
    rows = [{"words": ["the", "river"], "tags": ["O", "B-x"]}] * 9
    rows.append({"words": ["the", "river"], "tags": ["O"]})
    told = findings(tmp_path, "tagging", {"train": rows})
    assert "train.jsonl, line 10: 2 words" in told and "1 tag" in told


def test_an_answer_is_in_its_context(tmp_path: Path) -> None:
    answers = [{"text": ["coffee"], "answer_start": [CONTEXT.index("coffee") + n]} for n in (0, 1)]
    rows = [{"question": "what?", "context": CONTEXT, "answers": one} for one in answers]
    told = findings(tmp_path, "qa", {"train": rows}, "task.stride=8")
    assert "train.jsonl, line 2" in told and "line 1" not in told


def test_a_question_leaves_room_for_its_context(tmp_path: Path) -> None:
    answers = {"text": ["coffee"], "answer_start": [CONTEXT.index("coffee")]}

    def asked(*sizes: int) -> list[dict[str, Any]]:
        return [{"question": "river " * n, "context": CONTEXT, "answers": answers} for n in sizes]

    told = findings(tmp_path, "qa", {"train": asked(22, 23, 70)}, "task.stride=8")
    assert told == (
        "task.max_tokens=32 has room for 22 tokens of a question, beside 3 special ones and a "
        "quarter for the context; 2 have more, up to 70: train.jsonl, line 3. Try "
        "task.max_tokens=89; of a question at most 64 are read."
    )
    (tmp_path / "again").mkdir()
    assert findings(tmp_path / "again", "qa", {"train": asked(20, 21, 22)}, "task.stride=8") == ""


def test_what_shapes_a_loss_must_have_a_meaning_for_the_kind(tmp_path: Path) -> None:
    shaped = ("transfer.label_smoothing=0.1", "transfer.class_weights=balanced")
    told = findings(tmp_path, "regression", {"train": SCORES}, *shaped)
    assert told.splitlines() == [
        "transfer.label_smoothing=0.1 has no class to be less certain of: task.kind=regression "
        "predicts a score. Try 0.",
        "transfer.class_weights=balanced is for tasks that choose one of several classes: "
        "classification, tagging; task.kind=regression has none, or not only those. Try equal.",
    ]
    slots = [{"words": [word], "tags": [tag], "intent": tag} for word, tag in ("ab", "cd")] * 9
    (tmp_path / "slots").mkdir()
    told = findings(tmp_path / "slots", "intent_slots", {"train": slots}, *shaped)
    assert told.startswith("transfer.class_weights=balanced") and "task.kind=intent_slots" in told
    (tmp_path / "classes").mkdir()
    assert findings(tmp_path / "classes", "classification", {"train": GOOD}, *shaped) == ""


def test_a_score_that_is_no_number_and_a_missing_tokenizer_are_told_together(
    tmp_path: Path,
) -> None:
    rows = [*SCORES, {"text": "the sea", "score": float("nan")}, {"text": "a sea", "score": "4,5"}]
    told = findings(tmp_path, "regression", {"train": rows}, has_tokenizer=False)
    assert "train.jsonl, line 21" in told and "train.jsonl, line 22" in told
    assert "encoder has no tokenizer: none of tokenizer.json" in told
