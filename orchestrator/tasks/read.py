"""The examples of a task, by split; mistakes in them are told by file and row, all of a kind once.

`fine-tuning` and `plan` call `read_examples`. Without a validation or test split a share of the
training examples becomes one: by group where there are groups, else by text, never at random.
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
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.kinds.kind import Columns, Kind, kind_of
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
    train = splits.get(TRAIN, ())
    if TEST not in splits and task.data.test_share:
        train, splits[TEST] = cut_off(train, task.data.test_share, salt=TEST)
    if VALIDATION not in splits:
        train, splits[VALIDATION] = cut_off(train, task.data.validation_share, salt=VALIDATION)
    splits[TRAIN] = train
    return Examples(splits=splits), problems


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


def cut_off(
    examples: Sequence[Example], share: float, *, salt: str
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """What is left and what was cut off: whole groups, or equal texts, in the order of a hash."""
    sizes: dict[str, int] = {}
    keys = [_key(example) for example in examples]
    for key in keys:
        sizes[key] = sizes.get(key, 0) + 1
    wanted = max(round(share * len(examples)), 1)
    cut: set[str] = set()
    count = 0
    for key in sorted(sizes, key=lambda key: _hash(salt, key)):
        if len(cut) + 1 >= len(sizes) or count >= wanted:
            break
        cut.add(key)
        count += sizes[key]
    pairs = list(zip(keys, examples, strict=True))
    kept = tuple(example for key, example in pairs if key not in cut)
    return kept, tuple(example for key, example in pairs if key in cut)


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


def _key(example: Example) -> str:
    return example.group if example.group is not None else "\x1f".join(example.texts)


def _hash(salt: str, key: str) -> str:
    return hashlib.sha256(f"{salt}\x1f{key}".encode("utf-8", "surrogatepass")).hexdigest()


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
        raise RequestError(
            f"task.data.splits.{split} has no row.", hint="Is it the right file, and kind?"
        )
    return chain([first], rows)


def _example(kind: Kind, row: Row, columns: Columns, group: str | None) -> Example:
    example = kind.read(row, columns)
    return example if group is None else replace(example, group=row.name(group))
