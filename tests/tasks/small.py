"""Small tasks of every kind, written as jsonl files, and what reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.settings.build import build, check
from orchestrator.settings.model import Model
from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.features import Features
from orchestrator.tasks.kinds.kind import Kind, kind_of
from orchestrator.tasks.labels import Labels, labels_of
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.read import read_examples
from orchestrator.tasks.tokens import TaskTokenizer

torch.set_num_threads(1)

MODEL = Model(
    **dict(layers=1, hidden=16, heads=2, max_positions=64, initializer_range=0.2),
    **dict(dropout=0.0, attention_dropout=0.0),
)
CONTEXT = (
    "The river rises in the eastern hills and runs through three provinces. Most of the people "
    "live on the coast, where the soil is good; few live in the mountains. Exports are timber, "
    "tin and coffee. The harbour was closed in 1987 and nobody knows how many islands there are."
)


def answer(text: str) -> dict[str, list[Any]]:
    return {"text": [text], "answer_start": [CONTEXT.index(text)]}


def _question(asked: str, answers: dict[str, list[Any]]) -> dict[str, Any]:
    return {"question": asked, "context": CONTEXT, "answers": answers}


# Kind → rows of its default columns.
ROWS: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"text": "the people live on the coast", "label": "coast"},
        {"text": "the river rises in the hills", "label": "hills"},
        {"text": "few live in the mountains", "label": "hills"},
        {"text": "the harbour was closed", "label": "coast"},
    ],
    "multilabel": [
        {"text": "people on the coast", "labels": ["people", "coast"]},
        {"text": "hills and mountains", "labels": ["hills"]},
        {"text": "nobody knows", "labels": []},
    ],
    "regression": [
        {"text": "the soil is good", "score": 2.5},
        {"text": "it was closed", "score": -1},
        {"text": "timber, tin and coffee", "score": 0.25},
    ],
    "similarity": [
        {"text": "the soil is good", "pair": "good soil", "score": 4.5},
        {"text": "it was closed", "pair": "nobody knows how many islands there are", "score": 1},
        {"text": "timber and tin", "pair": "coffee", "score": 0},
    ],
    "tagging": [
        {"words": ["The", "river", "rises", "here"], "tags": ["O", "B-x", "I-x", "O"]},
        {"words": ["coffee"], "tags": ["B-y"]},
        {"words": ["people", "live", "on"] * 12, "tags": ["B-x", "O", "B-y"] * 12},
    ],
    "intent_slots": [
        {"words": ["coast", "live"] * 18, "tags": ["B-x", "I-x"] * 18, "intent": "live"},
        {"words": ["live", "on", "coast"], "tags": ["O", "O", "B-x"], "intent": "live"},
        {"words": ["closed"], "tags": ["O"], "intent": "close"},
    ],
    "qa": [
        _question("where does the river rise?", answer("the eastern hills")),
        _question("what are exports?", answer("timber, tin and coffee")),
        _question("when was the harbour closed?", answer("1987")),
        _question("who knows?", {"text": [], "answer_start": []}),
    ],
    "choice": [
        {"text": "the river", "choices": ["rises", "is closed", "is coffee"], "label": 0},
        {"text": "the harbour", "choices": ["rises", "is closed"], "label": 1},
    ],
    "entailment": [
        {"text": "people live on the coast", "label": "coast"},
        {"text": "the river rises in the hills", "label": "hills"},
        {"text": "timber, tin and coffee", "label": "exports"},
    ],
}  # fmt: skip


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def plain_task(kind: str, *, data: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "small", "kind": kind, "data": data, "max_tokens": 32, "stride": 8, **more}


def built(plain: dict[str, Any]) -> Task:
    task, findings = build(Task, plain, at="task")
    assert task is not None, findings
    assert check(task, at="task") == []
    return task


def task_of(kind: str, folder: Path, **more: Any) -> Task:
    """With its rows in `train` and in `validation`."""
    file = write_jsonl(folder / f"{kind}.jsonl", ROWS[kind])
    splits = {"train": {"path": [file]}, "validation": {"path": [file]}}
    return built(plain_task(kind, data={"kind": "jsonl", "splits": splits}, **more))


@dataclass(frozen=True, kw_only=True)
class Read:
    """A task whose training examples were read and made into features."""

    task: Task
    kind: Kind
    examples: tuple[Example, ...]
    labels: Labels
    features: Features

    def model(self, tokenizer: TaskTokenizer, *, seed: int = 1, dropout: float = 0.0) -> TaskModel:
        encoder = build_encoder(
            MODEL,
            vocab_size=tokenizer.vocab_size,
            pad_id=tokenizer.pad_id,
            heads=WORDS_ONLY,
            seed=seed,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = self.kind.make_head(MODEL.hidden, self.labels, self.task, dropout=dropout)
            for weights in head.parameters():  # large enough that a mistake shows
                torch.nn.init.normal_(weights, std=0.3)
        return TaskModel(encoder, head)


def read_small(kind: str, folder: Path, tokenizer: TaskTokenizer, **more: Any) -> Read:
    task = task_of(kind, folder, **more)
    examples = read_examples(task)["train"]
    made = kind_of(task)
    labels = labels_of(task, made, examples)
    features = made.encode(examples, labels, tokenizer, task)
    return Read(task=task, kind=made, examples=examples, labels=labels, features=features)
