"""The training loop's side of whoever runs it: a rank of a worker group, or a test's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from orchestrator.runs.storage import Storage


class WorkerPort(Protocol):
    @property
    def rank(self) -> int: ...
    @property
    def world(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def run(self) -> Storage:
        """The run's folder."""

    @property
    def control(self) -> Any:
        """A gloo process group of all ranks, for small words, whatever the device."""

    def stop_reason(self) -> str | None:
        """Why this rank should stop at the next step boundary; costs nothing. Rank 0's counts."""

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        """Progress, for whoever watches; rank 0's counts."""

    def beat(self, step: int) -> None:
        """Of every rank after every step: should one hang, its last step is known."""

    def note(self, kind: str, **fields: Any) -> None:
        """An event in the ledger; rank 0's counts."""

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        """After a measurement of the validation split, on every rank; it may wait, as trials do."""
