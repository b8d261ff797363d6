"""A row as an example that nobody has answered: what a model is asked. Without torch.

A look at the input asks every row so, to find those that are wrong before anything is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import RequestError
from orchestrator.settings.predict import InputKind, OnBad, OutputKind, PredictJob
from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row, Where, refuse_halves
from orchestrator.tasks.kinds.kind import Columns, kind_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.record import TaskRecord

PREDICTION, CONFIDENCE, VECTOR, ERROR = "prediction", "confidence", "vector", "error"
_TEXT = "text"
_NOWHERE = Where("", 0)

# Role of what is asked for → something that stands in its place, of the row's own form.
_BLANKS: dict[str, Callable[[Row, Columns, Labels], Any]] = {
    "label": lambda row, columns, labels: labels.classes[0] if labels.classes else "0",
    "labels": lambda row, columns, labels: [],
    "score": lambda row, columns, labels: 0.0,
    "intent": lambda row, columns, labels: labels.classes[0],
    "tags": lambda row, columns, labels: [labels.tags[0]] * len(row.names(columns["words"])),
    "answers": lambda row, columns, labels: None,
}


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Use `asking_of`. Without a task it asks for vectors of texts."""

    task: Task | None
    labels: Labels
    column: str  # of the text, where vectors are asked for
    taken: tuple[str, ...]  # the names of columns that are added

    def example(self, values: Mapping[str, Any]) -> Example:
        """BadRow where something is missing or is no text."""
        taken = next((name for name in self.taken if name in values), None)
        if taken is not None:
            rule = "is the name of a column that is added."
            raise BadRow(rule, shown=taken, try_="output.prefix=model_.")
        row = Row(values, _NOWHERE)
        if self.task is None:
            example = Example(texts=(row.text(self.column),), target=None, where=_NOWHERE)
        else:
            example = self._read(row, self.task)
        for text in example.texts:
            refuse_halves(text)
        return example

    def _read(self, row: Row, task: Task) -> Example:
        kind, columns = kind_of(task), Columns(task=task)
        asked = [role for role in kind.roles if role not in _BLANKS]
        for role in asked:  # told before the blanks are there, which are no columns of the row's
            named = columns.several(role) or (str(columns[role]),)
            if not _is_left_out(task, columns, role):
                for column in named:
                    row.value(column)
        blanks = {
            str(columns[role]): blank(row, columns, self.labels)
            for role, blank in _BLANKS.items()
            if role in kind.roles
        }
        return kind.read(Row({**row.values, **blanks}, _NOWHERE), columns)


def added_columns(job: PredictJob) -> tuple[str, ...]:
    """Their names in the output, behind the input's own."""
    if job.output_kind is OutputKind.NPY:
        return ()
    names = (VECTOR,) if job.embed else (PREDICTION, CONFIDENCE)
    if job.input.on_bad is OnBad.SKIP:
        names = (*names, ERROR)
    return tuple(f"{job.output.prefix}{name}" for name in names)


def asking_of(job: PredictJob, record: TaskRecord | None, kinds: set[InputKind]) -> Asking:
    """`record` is what the model's directory says of its task, where it has one."""
    given, taken = job.input.columns, added_columns(job)
    if job.embed or record is None:
        named = given.get(_TEXT)
        if named is None and record is not None and InputKind.TEXT not in kinds:
            named = record.task.columns.get(_TEXT)
        column = named if isinstance(named, str) else _TEXT
        return Asking(task=None, labels=Labels(), column=column, taken=taken)
    task, role = record.task, _first_role(record.task)
    columns = {**task.columns, **given}
    if InputKind.TEXT in kinds:
        columns[role] = _TEXT
        if needed := _further_roles(task, columns, role):
            raise RequestError(
                f"A line of text is a {role}; the model's task, of kind {task.kind}, reads "
                f"{', '.join(needed)} too.",
                hint="Give rows with columns: jsonl, csv or parquet.",
            )
    if job.max_tokens is not None:
        task = replace(task, max_tokens=job.max_tokens)
    return Asking(task=replace(task, columns=columns), labels=record.labels, column="", taken=taken)


def _first_role(task: Task) -> str:
    return str(kind_of(task).roles[0])


def _further_roles(task: Task, columns: Mapping[str, Any], first: str) -> list[str]:
    """What is asked beside the first; a pair only where the task has one."""
    return [
        role
        for role in kind_of(task).roles
        if role != first and role not in _BLANKS and not _is_left_out(task, columns, role)
    ]


def _is_left_out(task: Task, columns: Columns | Mapping[str, Any], role: str) -> bool:
    """A text that a task has only where it names a column for it; similarity has two always."""
    is_optional = role == "lead" or (role == "pair" and task.kind != "similarity")
    return is_optional and role not in columns
