"""A fine-tuned model as a directory: transformers opens it, and so do we, with every bit in place.

`finetune` ends with `save_task_model`; `evaluate`, `predict` and `ask` begin with
`open_task_directory`. task.json says what the model was trained for, and is written last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.utils import logging

from orchestrator.encoder.build import open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.settings.task import Task
from orchestrator.tasks.exporting.card import CARD, card_of
from orchestrator.tasks.exporting.forms import (
    Form,
    Shape,
    body_form,
    form_of,
    model_in,
    slots_form,
    to_place,
)
from orchestrator.tasks.exporting.tokenizer import write_tokenizer
from orchestrator.tasks.exporting.vectors import write_pooling
from orchestrator.tasks.heads.head import Classifier, Head
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.record import TASK, TaskRecord, is_task_directory, read_record, write_record
from orchestrator.tasks.tokens import TaskTokenizer, open_task_tokenizer

__all__ = [
    "TASK",
    "TaskDirectory",
    "TaskRecord",
    "from_pooler",
    "is_task_directory",
    "open_task_directory",
    "save_task_model",
]

SLOTS = "slots"  # a directory in the directory of intents with slots, for transformers
_WEIGHTS, _HEAD = "model.safetensors", "head.safetensors"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class TaskDirectory:
    path: Path
    task: Task
    labels: Labels
    model: TaskModel  # in fp32, ready to predict
    tokenizer: TaskTokenizer
    facts: Mapping[str, Any]  # what was told of it when it was saved


def save_task_model(
    folder: Path,
    model: TaskModel,
    labels: Labels,
    task: Task,
    tokenizer: Path,
    *,
    facts: Mapping[str, Any] = _NOTHING,
) -> None:
    """`tokenizer`: a folder with its files. `facts`: `metrics` and `lineage`, for the card."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder, head = model.encoder, model.head
    form = form_of(model, labels)
    write_tokenizer(tokenizer, folder, task, encoder.settings)
    _save(folder, form or body_form(encoder), encoder, head)
    left = {
        name: weight.detach().float().cpu().contiguous()
        for name, weight in head.state_dict().items()
        if form is None or to_place(form, name) is None
    }
    if left:
        save_file(left, folder / _HEAD, metadata={"format": "pt"})
    if form is not None and left:
        write_tokenizer(tokenizer, folder / SLOTS, task, encoder.settings)
        _save(folder / SLOTS, slots_form(encoder, labels), encoder, head)
    if form is not None and form.shape is Shape.VECTORS:
        write_pooling(folder, task, encoder.settings)
    record = TaskRecord(
        task=task,
        labels=labels,
        reading=model.reading,
        dropout=_dropout_of(head),
        class_name=None if form is None else form.class_name,
        facts=facts,
    )
    (folder / CARD).write_text(card_of(record, encoder), encoding="utf-8")
    write_record(folder, record)


def open_task_directory(folder: Path) -> TaskDirectory:
    record = read_record(folder)
    task, labels, reading = record.task, record.labels, record.reading
    encoder = _encoder_of(folder)
    width = reading.width(encoder.settings.hidden)
    with torch.random.fork_rng(devices=[]):  # new weights, which are overwritten
        head = kind_of(task).make_head(width, labels, task, dropout=record.dropout)
    model = TaskModel(encoder, head, reading).eval()
    _load(folder, head, form_of(model, labels))
    return TaskDirectory(
        path=folder,
        task=task,
        labels=labels,
        model=model,
        tokenizer=open_task_tokenizer(folder),
        facts=record.facts,
    )


def from_pooler(head: Head, folder: Path) -> bool:
    """A new classifier begins with the pooler that the encoder's directory has, where it has one;
    a BERT's was trained on pairs.
    """
    classifier = getattr(head, "classifier", None)
    if not isinstance(classifier, Classifier):
        return False
    found = {end: _entry(folder, f"pooler.dense.{end}") for end in ("weight", "bias")}
    if any(
        weight is None or weight.shape != getattr(classifier.dense, end).shape
        for end, weight in found.items()
    ):
        return False
    classifier.dense.load_state_dict(found)
    return True


def _save(folder: Path, form: Form, encoder: Encoder, head: Head) -> None:
    has_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model_in(form, encoder, head).save_pretrained(folder)
    finally:
        if has_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _dropout_of(head: Head) -> float:
    return next((each.p for each in head.modules() if isinstance(each, nn.Dropout)), 0.0)


def _encoder_of(folder: Path) -> Encoder:
    try:
        return open_encoder(read_directory(folder), heads=WORDS_ONLY, seed=0).encoder
    except OrchestratorError as err:  # who asks for a task model named no encoder=
        said = err.message.replace(f"encoder={folder}", str(folder))
        raise type(err)(said, hint=err.hint) from err


def _load(folder: Path, head: Head, form: Form | None) -> None:
    wanted = head.state_dict()
    places = {name: None if form is None else to_place(form, name) for name in wanted}
    weights: dict[str, Tensor] = {}
    try:
        if any(place is None for place in places.values()):
            weights = load_file(folder / _HEAD)
        with safe_open(folder / _WEIGHTS, framework="pt") as stored:
            there = set(stored.keys())
            weights |= {
                name: stored.get_tensor(place)
                for name, place in places.items()
                if place is not None and place in there
            }
    except (OSError, SafetensorError) as err:
        raise RequestError(f"{folder}: the weights of its head cannot be read ({err}).") from err
    for name, empty in wanted.items():
        found = weights.get(name)
        if found is None or found.shape != empty.shape:
            shown = "are not there" if found is None else f"are {tuple(found.shape)}"
            raise RequestError(
                f"{folder}: the head's weights {places[name] or name} {shown}; by {TASK} they are "
                f"{tuple(empty.shape)}.",
                hint="It may have been copied in part, or its labels were changed by hand.",
            )
    head.load_state_dict({name: weights[name] for name in wanted})


def _entry(folder: Path, end: str) -> Tensor | None:
    """The one weight whose name ends so, out of whichever files a directory keeps weights in."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118, it is no mapping
                if _is_named(name, end):
                    tensor: Tensor = stored.get_tensor(name)
                    return tensor
    if any(folder.glob("*.safetensors")):
        return None
    for path in sorted(folder.glob("pytorch_model*.bin")):
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        for name, tensor in stored.items():
            if _is_named(name, end):
                return tensor
    return None


def _is_named(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")
