"""The examples of a task, by split; mistakes in them are told by file and row, all of a kind once.

`fine-tuning` and `plan` call `read_examples`. Without a validation or test split a share of the
training examples becomes one (`cut`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from orchestrator.errors import RequestError
from orchestrator.settings.finding import did_you_mean
from orchestrator.settings.task import READERS, TEST, TRAIN, VALIDATION, Task
from orchestrator.tasks.cut import cut_off
from orchestrator.tasks.example import BadRow, Example, Row, refuse_halves
from orchestrator.tasks.kinds.kind import Columns, Kind, kind_of, names_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.problems import Problems
from orchestrator.tasks.tokens import TaskTokenizer


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Every split of a task."""

    splits: dict[str, tuple[Example, ...]]

    def __getitem__(self, split: str) -> tuple[Example, ...]:
        if split not in self.splits:
            near = did_you_mean(split, self.splits)
            raise RequestError(f"There is no split {split}.", hint=f"Try {near}")
        return self.splits[split]

    @property
    def evaluated(self) -> dict[str, tuple[Example, ...]]:
        """What is measured while training: all but training and test."""
        return {name: some for name, some in self.splits.items() if name not in (TRAIN, TEST)}


def read_task(task: Task) -> tuple[Examples, Problems]:
    """All splits that can be read without `test`'s labels leaking into anything."""
    problems = Problems()
    splits = {name: _read_split(task, name, problems) for name in task.data.splits}
    train, kind = splits.get(TRAIN, ()), kind_of(task)
    for split, share in cut_shares(task).items():
        train, splits[split] = cut_off(train, share, salt=split, kind=kind)
    splits[TRAIN] = train
    return Examples(splits=splits), problems


def cut_shares(task: Task) -> dict[str, float]:
    """Of the splits that are not there, in the order in which they are cut off."""
    shares = {TEST: task.data.test_share, VALIDATION: task.data.validation_share}
    return {name: share for name, share in shares.items() if share and name not in task.data.splits}


def read_examples(task: Task) -> Examples:
    """As `read_task`; a mistake is raised."""
    examples, problems = read_task(task)
    problems.raise_any()
    return examples


def unread_roles(task: Task) -> list[str]:
    """Columns that are called as what the kind can read, and that the task does not name."""
    optional = {"pair", "lead"} & set(kind_of(task).roles) - set(task.columns)
    row = next(_rows(task, TRAIN))
    return sorted(optional & set(row.values)) if task.kind != "similarity" else []


def fingerprint_of(examples: Sequence[Example]) -> str:
    """Of what is in them, and not of where it came from."""
    digest = hashlib.sha256()
    for example in examples:
        target = sorted(example.target) if isinstance(example.target, frozenset) else example.target
        digest.update(f"{example.texts!r}{target!r}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def features_key(
    task: Task, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer
) -> str:
    """Of all that features are made of, so that they can be kept: two of one key are equal."""
    parts = {
        "kind": task.kind,
        "sizes": [task.max_tokens, task.stride],
        "hypothesis": task.hypothesis,
        "labels": labels.plain(),
        "tokenizer": tokenizer.fingerprint,
        "examples": fingerprint_of(examples),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _read_split(task: Task, split: str, problems: Problems) -> tuple[Example, ...]:
    kind, columns = kind_of(task), Columns(task=task)
    examples = []
    for row in _rows(task, split):
        try:
            examples.append(_example(kind, row, columns, task.data.group))
        except BadRow as err:
            problems.add(split, row.where, err)
    return tuple(examples)


def _rows(task: Task, split: str) -> Iterator[Row]:
    rows: Iterator[Row] = READERS[task.data.kind](task.data, split)
    first = next(rows, None)
    if first is None:
        paths = task.data.splits[split].path
        found = f".path=[{', '.join(paths)}]" if paths else f" of {task.data.hub}"
        raise RequestError(
            f"task.data.splits.{split}{found} has no row.", hint="Is it the right file, and kind?"
        )
    return chain([first], rows)


def _example(kind: Kind, row: Row, columns: Columns, group: str | None) -> Example:
    example = kind.read(row, columns)
    for text in (*example.texts, *names_of(kind, example.target)):
        refuse_halves(text)
    return example if group is None else replace(example, group=row.name(group))
