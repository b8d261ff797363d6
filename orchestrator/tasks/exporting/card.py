"""A task model's card (README.md): what it answers, how to open it, how good it was, where from.

What nobody but its owner can say, such as the licence, is left open. Called by `directory.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.encoder.encoder import Encoder
from orchestrator.settings.task import Pooling, Task
from orchestrator.tasks.record import TaskRecord

CARD = "README.md"
# Kind of task → transformers' name for what it does.
_TAGS = {
    "classification": "text-classification",
    "multilabel": "text-classification",
    "regression": "text-classification",
    "intent_slots": "text-classification",
    "tagging": "token-classification",
    "entailment": "zero-shot-classification",
    "similarity": "sentence-similarity",
    "qa": "question-answering",
    "choice": "multiple-choice",
}
_CALLS = {
    "multilabel": 'ask("…", top_k=None)',
    "entailment": 'ask("…", candidate_labels=["…", "…"])',
    "similarity": 'ask("…", return_tensors=True)[0].mean(dim=0)',
}
# Of these transformers has a class, and no pipeline.
_CLASSES = {"qa": "AutoModelForQuestionAnswering", "choice": "AutoModelForMultipleChoice"}
_PAIR = 'ask({"text": "…", "text_pair": "…"})'
_HEAD = """\
---
# license: name one before you share this
library_name: transformers
{tag}tags: [{family}, orchestrator]
---

# {name}

A `{class_name}` of {parameters:,} parameters, fine-tuned for the {kind} task `{name}`.

"""
_OPENED = """\
```python
from transformers import pipeline

ask = pipeline("{pipeline}", model="PATH")  # the folder that this file is in
{call}
```
"""
_LOADED = """\
```python
from transformers import AutoTokenizer, {auto_class}

model = {auto_class}.from_pretrained("PATH")  # the folder that this file is in
tokenizer = AutoTokenizer.from_pretrained("PATH")
```
"""
_OURS = """\
transformers has no class for its head: `model.safetensors` is the encoder alone and
`head.safetensors` the head. Open it with orchestrator:

```python
from pathlib import Path

from orchestrator.tasks.directory import open_task_directory

opened = open_task_directory(Path("PATH"))  # the folder that this file is in
```
"""
_SLOTS = """
Intents are in this folder, and slots in `slots/`: `pipeline("token-classification", "PATH/slots")`.
"""
_LIMITS = """
## Licence, use and limits

Not stated yet: they follow from what the encoder and this task were trained on.
"""


def card_of(record: TaskRecord, encoder: Encoder) -> str:
    task = record.task
    tag = _TAGS.get(task.kind) if record.class_name is not None else None
    text = _HEAD.format(
        tag=f"pipeline_tag: {tag}\n" if tag else "",
        family=encoder.settings.family.value,
        name=task.name,
        kind=task.kind,
        class_name=record.class_name or "head on an encoder",
        parameters=sum(each.numel() for each in encoder.model.base_model.parameters()),
    )
    return text + _how(record.task, tag) + "".join(_sections(record)) + _LIMITS


def _how(task: Task, tag: str | None) -> str:
    """To open it, and to ask it."""
    if tag is None:
        return _OURS
    if task.kind in _CLASSES:
        return _LOADED.format(auto_class=_CLASSES[task.kind])
    call = _CALLS.get(task.kind, 'ask("…")')
    if "pair" in task.columns and tag == "text-classification":
        call = _PAIR
    if task.kind == "similarity":
        tag = "feature-extraction"
        if task.pooling is Pooling.CLS:
            call = call.replace(".mean(dim=0)", "[0]")
    return _OPENED.format(pipeline=tag, call=call) + _SLOTS * (task.kind == "intent_slots")


def _sections(record: TaskRecord) -> Iterator[str]:
    labels = record.labels
    for title, names in (("Classes", labels.classes), ("Tags", labels.tags)):
        if names:
            yield f"\n{title}: {', '.join(f'`{name}`' for name in names)}.\n"
    for title, name in (("Measured", "metrics"), ("Where it is from", "lineage")):
        if rows := record.facts.get(name):
            yield f"\n## {title}\n\n| | |\n|---|---|\n"
            yield from (f"| {key} | {_said(value)} |\n" for key, value in _flat(rows))


def _flat(values: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{name} ")
        else:
            yield f"{at}{name}", value


def _said(value: Any) -> str:
    if value is None:
        return "not defined"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
