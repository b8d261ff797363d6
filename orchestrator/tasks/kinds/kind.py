"""What a kind of task is. `settings.task.KINDS` names them; without torch but in `make_head`.

A kind of your own is a `Kind` too and is registered by an extension:
`KINDS.register("mine", MINE)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from orchestrator.settings.task import KINDS, Task
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers look like targets."""

    answers: tuple[Any, ...]
    confidence_E: Array  # 0 to 1, in the answer that was given; NaN where a kind has none
    probabilities_EC: Array | None = None  # of classes, where there are


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a task's data are called, by role."""

    task: Task

    def __getitem__(self, role: str) -> str:
        named = self.task.columns.get(role, role)
        if not isinstance(named, str):
            raise BadRow("must be one column.", shown=f"task.columns.{role}={list(named)}")
        return named

    def __contains__(self, role: str) -> bool:
        return role in self.task.columns

    def several(self, role: str) -> tuple[str, ...] | None:
        named = self.task.columns.get(role, role)
        return None if isinstance(named, str) else tuple(named)

    def texts(self, row: Row) -> tuple[str, ...]:
        """The text, and the second one where there is a column for it."""
        first = row.text(self["text"])
        return (first, row.text(self["pair"])) if "pair" in self else (first,)


class Kind(Protocol):
    @property
    def roles(self) -> tuple[str, ...]:
        """The columns that it can read."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is usually measured; the first decides."""

    def read(self, row: Row, columns: Columns) -> Example:
        """Raises BadRow."""

    def class_names(self, target: Any) -> Iterable[str]:
        """That a target names; most kinds have none, or no tags."""
        return ()

    def tag_names(self, target: Any) -> Iterable[str]:
        return ()

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features: ...

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        """With new weights, from torch's generator."""

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        """Of what the head put out for all examples, in their order."""


def kind_of(task: Task) -> Kind:
    return cast(Kind, KINDS[task.kind])


def names_of(kind: Kind, target: Any) -> Iterator[str]:
    """Of classes and of tags."""
    yield from kind.class_names(target)
    yield from kind.tag_names(target)


def numbers_of(names: Iterable[str], ids: dict[str, int]) -> Array:
    return np.fromiter((ids[name] for name in names), np.int64)


def softmax(scores_EC: Array) -> Array:
    shifted = np.exp(scores_EC.astype(np.float64) - scores_EC.max(axis=-1, keepdims=True))
    return cast(Array, shifted / shifted.sum(axis=-1, keepdims=True))


def chosen_classes(probabilities_EC: Array, names: Sequence[str]) -> Predictions:
    best_E = probabilities_EC.argmax(axis=1)
    return Predictions(
        answers=tuple(names[number] for number in best_E.tolist()),
        confidence_E=probabilities_EC.max(axis=1),
        probabilities_EC=probabilities_EC,
    )
