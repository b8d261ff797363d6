"""What the loop trains on: steps of a stream, what they count, and how the model is measured.

Packs of a corpus are one kind (`pretrain.py`), examples of a task another (`finetune.py`). Every
number here is the same on every rank, for any world: it follows from settings, packs and keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from orchestrator.corpus.packs.stream import Cursor
from orchestrator.runs.samples import Sample
from orchestrator.training.standing import Standing


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a rank feeds in a step; known before anybody computes it."""

    counts: tuple[int, ...]  # by which each part of the loss is divided, once all ranks' are added
    tokens: int
    flops: float
    fed_hash: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    values: dict[str, float]
    loss: float  # by which checkpoints are compared; less is better
    samples: tuple[Sample, ...] = ()  # of rank 0, for people


class Steps(Protocol):
    """A rank's micro-batches of each step, with the cursor of the step after it."""

    waited_s: float  # for data, all steps together

    def __iter__(self) -> Iterator[tuple[list[Any], Cursor]]: ...
    def __next__(self) -> tuple[list[Any], Cursor]: ...


class Material(Protocol):
    @property
    def num_steps(self) -> int | None:
        """Of the whole run, where that is known."""

    @property
    def max_duration(self) -> float | None: ...

    @property
    def evaluate_every(self) -> int | None:
        """Steps from one measurement to the next."""

    @property
    def keeps_best(self) -> bool:
        """Whether a measurement that is the best so far calls for a checkpoint."""

    def is_over(self, standing: Standing) -> bool: ...

    def rate(self, standing: Standing) -> float:
        """The share of the peak learning rate for the step that begins here."""

    def steps(self, cursor: Cursor) -> AbstractContextManager[Steps]: ...
    def tally(self, micro_batches: list[Any]) -> Tally: ...

    def weighing(self, step: int, counts: tuple[int, ...]) -> Any:
        """What the engine's module is told beside a micro-batch."""

    def losses(self, sums: Tensor, counts: tuple[int, ...]) -> dict[str, float]:
        """`train/loss`, and its parts where it has some."""

    def measure(self) -> Measured | None: ...
