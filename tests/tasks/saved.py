"""Models of small tasks with random weights, in directories."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.settings.corpus import Algorithm
from orchestrator.settings.model import Family, Model
from orchestrator.settings.transfer import Reading
from orchestrator.tasks.directory import save_task_model
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.predict import run
from orchestrator.tasks.tokens import open_task_tokenizer
from tests.tasks.small import MODEL, Read, read_small

ROBERTA = replace(MODEL, family=Family.ROBERTA, segments=1, layer_norm_eps=1e-5)
FAMILIES = {Family.BERT: (MODEL, Algorithm.WORDPIECE), Family.ROBERTA: (ROBERTA, Algorithm.BPE)}
Folders = dict[Algorithm, Path]


class Saved:
    """A task with random weights, in a directory."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        tokenizers: Folders,
        *,
        family: Family = Family.BERT,
        reading: Reading = Reading.LAST,
        **task: Any,
    ) -> None:
        model, algorithm = FAMILIES[family]
        self.tokenizer_folder = tokenizers[algorithm]
        self.tokenizer = open_task_tokenizer(self.tokenizer_folder)
        self.read: Read = read_small(kind, folder, self.tokenizer, **task)
        if reading is not Reading.LAST:
            model = replace(model, layers=4)
        self.model = self._model(model, reading)
        self.folder = folder / "saved"
        self.facts: dict[str, Any] = {
            "metrics": {"test": {"accuracy": 0.87654, "f1": None}},
            "lineage": {"run": "x-y"},
        }
        save_task_model(
            self.folder,
            self.model,
            self.read.labels,
            self.read.task,
            self.tokenizer_folder,
            facts=self.facts,
        )

    def _model(self, settings: Model, reading: Reading) -> TaskModel:
        encoder = build_encoder(
            settings,
            vocab_size=self.tokenizer.vocab_size + 3,  # as padding to a multiple leaves it
            pad_id=self.tokenizer.pad_id,
            heads=WORDS_ONLY,
            seed=1,
        )
        width = reading.width(settings.hidden)
        read = self.read
        torch.manual_seed(2)
        head = read.kind.make_head(width, read.labels, read.task, dropout=0.25)
        for weights in head.parameters():  # large enough that a mistake shows
            torch.nn.init.normal_(weights, std=0.3)
        return TaskModel(encoder, head, reading).eval()

    def outputs(self, model: TaskModel | None = None) -> tuple[np.ndarray, ...]:
        return run(model or self.model, self.read.features)


_made: dict[tuple[Any, ...], Saved] = {}


def saved_once(folder: Path, tokenizers: Folders, kind: str, **more: Any) -> Saved:
    """Tests that only look at a directory share it."""
    key = (kind, str(tokenizers), str(sorted(more.items())))
    if key not in _made:
        own = folder / f"model-{len(_made)}"
        own.mkdir()
        _made[key] = Saved(kind, own, tokenizers, **more)
    return _made[key]


def as_published(tokenizers: Folders, folder: Path) -> Folders:
    """RoBERTa's own tokenizer puts no space before a text."""
    target = folder / "published"
    shutil.copytree(tokenizers[Algorithm.BPE], target)
    plain = json.loads((target / "tokenizer.json").read_text())
    assert plain["pre_tokenizer"]["add_prefix_space"]
    plain["pre_tokenizer"]["add_prefix_space"] = False
    (target / "tokenizer.json").write_text(json.dumps(plain))
    return {**tokenizers, Algorithm.BPE: target}
