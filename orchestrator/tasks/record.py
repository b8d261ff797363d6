"""What task.json says of a task model: what it was trained for, and how its head is made.

It is written last into a model's directory. Without torch: `plan` reads it, `directory.py` opens
the model that it stands beside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.settings.build import build, to_plain
from orchestrator.settings.finding import did_you_mean
from orchestrator.settings.task import KINDS, Task
from orchestrator.settings.transfer import Reading
from orchestrator.tasks.labels import Labels

TASK = "task.json"
_SCHEMA, _VERSION = "orchestrator.task", 1


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    task: Task
    labels: Labels
    reading: Reading
    dropout: float  # of the head
    class_name: str | None  # of transformers; None: it has none for such a head
    facts: Mapping[str, Any]  # what was told of the model when it was saved


def is_task_directory(folder: Path) -> bool:
    return (folder / TASK).is_file()


def write_record(folder: Path, record: TaskRecord) -> None:
    plain = {
        "schema": f"{_SCHEMA}/{_VERSION}",
        "task": to_plain(record.task),
        "labels": record.labels.plain(),
        "head": {
            "class": record.class_name,
            "reading": record.reading.value,
            "dropout": record.dropout,
        },
        "facts": dict(record.facts),
    }
    (folder / TASK).write_text(json.dumps(plain, indent=1, default=str) + "\n", encoding="utf-8")


def read_record(folder: Path) -> TaskRecord:
    plain = _read(folder)
    try:
        head = plain["head"]
        return TaskRecord(
            task=_task_of(folder, plain["task"]),
            labels=Labels.of_plain(plain["labels"]),
            reading=Reading(head["reading"]),
            dropout=float(head["dropout"]),
            class_name=head["class"],
            facts=plain["facts"],
        )
    except (ValueError, KeyError, TypeError) as err:
        raise _damaged(folder, repr(err)) from err


def _read(folder: Path) -> Mapping[str, Any]:
    try:
        plain = json.loads((folder / TASK).read_bytes())
        schema, _, version = str(plain["schema"]).partition("/")
    except (FileNotFoundError, NotADirectoryError) as err:
        raise NotFoundError(
            f"{folder} is not the directory of a task model: it has no {TASK}.",
            hint="`orchestrator run finetune` makes one: the folder export/ of its run.",
        ) from err
    except (ValueError, KeyError, TypeError) as err:
        raise _damaged(folder, repr(err)) from err
    if schema != _SCHEMA or not version.isdecimal():
        raise _damaged(folder, f"its schema is {plain['schema']!r}")
    if int(version) > _VERSION:
        raise RequestError(
            f"{folder / TASK} has schema {schema}/{version}; this version of orchestrator reads "
            f"{schema}/{_VERSION} and older.",
            hint="Open it with the version that made it, or a newer one.",
        )
    return dict(plain)


def _task_of(folder: Path, plain: Any) -> Task:
    task, findings = build(Task, plain, at="task")
    if task is None:
        raise _damaged(folder, "; ".join(map(str, findings)))
    if task.kind not in KINDS:
        raise RequestError(
            f"{folder / TASK}: kind={task.kind} is not a kind of task that is known here; it may "
            "come from an extension.",
            hint=f"Name the module that registers it under extensions. Else: "
            f"{did_you_mean(task.kind, KINDS)}",
        )
    return task


def _damaged(folder: Path, found: str) -> RequestError:
    return RequestError(
        f"{folder / TASK} is not as it was written: {found}.", hint="Copy the directory again."
    )
