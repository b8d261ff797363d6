"""A task's examples and their features, read and checked once and kept in the storage.

`finetune` and `sweep` prepare a task where the driver runs; every worker of every run that has the
same examples, tokenizer and lengths opens the same file. It is written whole, or not at all.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.errors import SettingsError, StorageError
from orchestrator.runs.storage import Storage
from orchestrator.settings.task import TEST, TRAIN, Task
from orchestrator.tasks.example import Example
from orchestrator.tasks.features import Features
from orchestrator.tasks.findings import check_task, question_findings
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.labels import Labels, labels_of
from orchestrator.tasks.read import features_key, fingerprint_of, read_examples
from orchestrator.tasks.tokens import TaskTokenizer

FOLDER = "tasks"
PREPARED = "task_prepared"  # the event that says which file a run trains on
_FORMAT = 1  # of the file; another number is another name
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Portion:
    """A split."""

    examples: tuple[Example, ...]
    features: Features


@dataclass(frozen=True, kw_only=True)
class PreparedTask:
    labels: Labels
    splits: dict[str, Portion]

    @property
    def training(self) -> Portion:
        return self.splits[TRAIN]

    @property
    def evaluated(self) -> dict[str, Portion]:
        """What is measured while it trains: all but training and test."""
        return {name: some for name, some in self.splits.items() if name not in (TRAIN, TEST)}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Where a prepared task is, and what an audit knows it by."""

    file: str  # in the storage
    examples: int  # to train on
    fingerprint: str  # of them


def prepare_task(
    task: Task, tokenizer: TaskTokenizer, storage: Storage, tell: Callable[[str], None]
) -> Kept:
    """Mistakes in the data are raised, by file and row."""
    tell(f"reading {task.name}")
    examples = read_examples(task)
    findings = [*check_task(task, examples), *question_findings(task, examples, tokenizer)]
    if findings:
        raise SettingsError([str(finding) for finding in findings])
    kind = kind_of(task)
    labels = labels_of(task, kind, examples[TRAIN])
    keys = [
        f"{name} {features_key(task, some, labels, tokenizer)}"
        for name, some in sorted(examples.splits.items())
    ]
    digest = hashlib.sha256("\n".join([str(_FORMAT), *keys]).encode()).hexdigest()
    name = f"{FOLDER}/{task.name}-{digest[:12]}.pickle"
    train = examples[TRAIN]
    kept = Kept(file=name, examples=len(train), fingerprint=fingerprint_of(train))
    if storage.exists(name):
        return kept
    splits: dict[str, Portion] = {}
    for split, some in examples.splits.items():
        tell(f"tokenizing {task.name}, {split}: {len(some):,} examples")
        features = kind.encode(some, labels, tokenizer, task)
        splits[split] = Portion(examples=some, features=features)
    data = pickle.dumps(PreparedTask(labels=labels, splits=splits), protocol=5)
    storage.write(name, hashlib.sha256(data).digest() + data)
    return kept


def open_prepared(storage: Storage, name: str) -> PreparedTask:
    data = storage.read(name)
    digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise StorageError(
            f"{storage.uri_of(name)} is damaged: its bytes are not those that were written.",
            hint="Remove it: it is made again from the task's data.",
        )
    prepared: PreparedTask = pickle.loads(content)
    return prepared
