"""A model for the examples of a task: of its own, of another one of its kind with its labels, or,
for a model of NLI, of any classes by entailment. Whoever evaluates a model asks here if it fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.runs.origin import Kind, Origin
from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.kinds.entailment import NLI
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.labels import Labels, labels_of
from orchestrator.tasks.record import TaskRecord, read_record

if TYPE_CHECKING:
    from orchestrator.tasks.directory import TaskDirectory
    from orchestrator.tasks.heads.sentence import ClassHead

ENTAILMENT = "entailment"


def record_at(origin: Origin, name: str) -> TaskRecord:
    """What the directory says of its task; `name` is what was typed. Refused where it has none."""
    if origin.kind is Kind.CHECKPOINT:
        raise RequestError(
            f"{name} is a pretrained encoder: it answers nothing yet.",
            hint=f"orchestrator run finetune encoder={name} task=…",
        )
    with nearby(origin.uri, has_weights=False) as folder:
        try:
            return read_record(folder)
        except OrchestratorError as err:
            said = err.message.replace(str(folder), origin.uri)
            raise type(err)(said, hint=err.hint) from err


def refuse_other_kind(record: TaskRecord, task: Task) -> None:
    if task.kind == record.task.kind or _is_judge(record.task, record.labels, task):
        return
    raise RequestError(
        f"task={task.name} is of kind {task.kind}, and the model was made for "
        f"{record.task.name}, of kind {record.task.kind}.",
        hint="Without task= the examples are those of the model's own task.",
    )


def labels_for(record: TaskRecord, task: Task, examples: Sequence[Example]) -> Labels:
    """What can be answered: the model's own labels, and of entailment whatever is asked."""
    if task.kind != ENTAILMENT:
        return record.labels
    if record.task.kind == ENTAILMENT and not task.labels:
        asked = labels_of(task, kind_of(task), examples)
        known = set(asked.classes) <= set(record.labels.classes)
        return record.labels if known else asked
    return labels_of(task, kind_of(task), examples)


def fit(opened: TaskDirectory, task: Task, labels: Labels) -> TaskDirectory:
    """With these labels, which are `labels_for`'s."""
    model = opened.model
    if _is_judge(opened.task, opened.labels, task):
        from orchestrator.tasks.heads.several import EntailmentHead
        from orchestrator.tasks.model import TaskModel

        classifier = cast("ClassHead", model.head).classifier
        head = EntailmentHead(
            classifier.dense.in_features,
            len(NLI),
            entailment=NLI.index(ENTAILMENT),
            dropout=classifier.dropout.p,
        )
        head.load_state_dict(model.head.state_dict())
        model = TaskModel(model.encoder, head, model.reading).eval()
    return replace(opened, task=task, labels=labels, model=model)


def _is_judge(own: Task, labels: Labels, task: Task) -> bool:
    """A classification of pairs as NLI has them: its head is that of entailment."""
    return task.kind == ENTAILMENT and own.kind == "classification" and labels.classes == NLI
