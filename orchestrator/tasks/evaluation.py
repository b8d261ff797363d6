"""What a model is asked when it is evaluated: the examples of a split, read and checked; and what
it said, put together. Without torch: `plan` checks with it, and `cluster/evaluate.py` asks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orchestrator.errors import RequestError, SettingsError
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.task import KINDS, READERS, TEST, TRAIN, VALIDATION, Split, Task
from orchestrator.tasks.example import Example, plain_of
from orchestrator.tasks.features import Array
from orchestrator.tasks.findings import class_metric_findings
from orchestrator.tasks.kinds.kind import Predictions, kind_of
from orchestrator.tasks.kinds.qa import NO_ANSWER
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.problems import Problems
from orchestrator.tasks.read import read_task

_NAMED = 3
_KINDS_OF_FILES = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, kw_only=True)
class SliceWork:
    """What one task answers."""

    model: str  # URI of the directory
    extensions: tuple[str, ...]
    device: str
    task: Task
    labels: Labels
    first: int  # in the split
    examples: tuple[Example, ...]


@dataclass(frozen=True, kw_only=True)
class Said:
    predictions: Predictions
    num_truncated: int  # examples of which the model did not read all


def asked_task(task: Task, split: str, path: Sequence[str]) -> Task:
    """With what has to be read for that split, and nothing else; `path` takes the place of its
    files.
    """
    data, splits = task.data, task.data.splits
    if path:
        kind = _kind_of_files(path) if data.hub is not None else data.kind
        files = {split: Split(path=tuple(path))}
        data = replace(data, kind=kind, hub=None, subset=None, test_share=0.0, splits=files)
        return replace(task, data=data)
    if split in splits and split != TRAIN:
        return replace(task, data=replace(data, splits={split: splits[split]}, test_share=0.0))
    can_cut = {VALIDATION: True, TEST: data.test_share > 0, TRAIN: True}
    if not can_cut.get(split, False):
        known = sorted({*splits, VALIDATION, *([TEST] if data.test_share else [])})
        raise RequestError(
            f"split={split}: the task {task.name} has none of that name.",
            hint=f"Try {did_you_mean(split, known)} Or give files: path=[…].",
        )
    # What is cut off the training examples depends on which other splits there are.
    return task


def _kind_of_files(path: Sequence[str]) -> str:
    """Of files that take the place of a data set: by their names, which must agree."""
    kinds = {kind for name in path for end, kind in _KINDS_OF_FILES.items() if name.endswith(end)}
    if len(kinds) == 1 and all(name.endswith(tuple(_KINDS_OF_FILES)) for name in path):
        return kinds.pop()
    raise RequestError(
        f"path=[{','.join(path)}]: names do not say what is in the files.",
        hint=f"Names that end with {', '.join(_KINDS_OF_FILES)} do, where all are of one kind; "
        "for other files: task.data.hub=null task.data.kind=…",
    )


def read_asked(task: Task, split: str) -> tuple[tuple[Example, ...], Problems]:
    """`task` is what `asked_task` left of it."""
    examples, problems = read_task(task)
    return examples[split], problems


def label_findings(
    examples: Sequence[Example], task: Task, labels: Labels, split: str
) -> Iterator[Finding]:
    """What the model cannot say, by file and row."""
    kind = kind_of(task)
    strange: dict[str, list[Example]] = {}
    for example in examples:
        names = set(kind.class_names(example.target)) - set(labels.classes)
        names |= set(kind.tag_names(example.target)) - set(labels.tags)
        for name in names - {NO_ANSWER}:
            strange.setdefault(name, []).append(example)
    for name in sorted(strange):
        some = strange[name]
        places = "; ".join(str(example.where) for example in some[:_NAMED])
        more = f"; and {len(some) - _NAMED:,} more" if len(some) > _NAMED else ""
        yield Finding(
            key=f"task.data.splits.{split}",
            found=f"{places}{more}: {name!r}",
            rule="is not a label of the model.",
            try_=did_you_mean(name, (*labels.classes, *labels.tags)),
        )


def refuse_unasked(
    examples: Sequence[Example], problems: Problems, task: Task, labels: Labels, split: str
) -> None:
    """All that is wrong with what would be asked."""
    findings = [*problems.findings()] or [
        *label_findings(examples, task, labels, split),
        *class_metric_findings(task, labels),
    ]
    if findings:
        raise SettingsError([str(finding) for finding in findings])
    if not examples:
        raise RequestError(f"split={split} of the task {task.name} has no example.")


def refuse_other_labels(own: Labels, other: Labels, name: str) -> None:
    """Answers can be compared where both models choose among the same."""
    for what, ours, theirs in (
        ("classes", own.classes, other.classes),
        ("tags", own.tags, other.tags),
    ):
        if set(ours) != set(theirs):
            odd = sorted(set(ours) ^ set(theirs))
            raise RequestError(
                f"compare={name} has other {what}: they differ in {', '.join(odd[:5])}.",
                hint="Compare models that were made for the same task.",
            )


def can_be_read_here(task: Task) -> bool:
    """What is on a hub is fetched where the job runs."""
    return task.data.hub is None and task.data.kind in READERS and task.kind in KINDS


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Of slices that follow each other."""
    shares: list[Array] = [
        part.probabilities_EC for part in parts if part.probabilities_EC is not None
    ]
    return Predictions(
        answers=tuple(answer for part in parts for answer in part.answers),
        confidence_E=np.concatenate([part.confidence_E for part in parts]),
        probabilities_EC=np.concatenate(shares) if shares else None,
    )


def answer_lines(
    examples: Sequence[Example], predictions: Predictions, other: Predictions | None
) -> Iterator[str]:
    """One JSON object an example; `compared` is what the other model says."""
    for number, example in enumerate(examples):
        plain: dict[str, Any] = {
            "where": str(example.where),
            "texts": list(example.texts),
            "target": plain_of(example.target),
            "prediction": plain_of(predictions.answers[number]),
            "confidence": _finite(float(predictions.confidence_E[number])),
        }
        if other is not None:
            plain["compared"] = plain_of(other.answers[number])
            plain["compared_confidence"] = _finite(float(other.confidence_E[number]))
        yield json.dumps(plain, ensure_ascii=False)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
