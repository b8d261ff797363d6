"""The training loop's port on a rank of a Ray Train group."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.train.torch
import torch

from orchestrator.cluster.workers import Worker
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import Storage

_LOOK_EVERY_S = 0.5


class RankPort:
    """Use `rank_port`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.rank, self.world, self.attempt = worker.rank, worker.world, worker.attempt
        self.device: torch.device = ray.train.torch.get_device()
        self.control = worker.control
        self._ledger: Ledger | None = None
        self._reason: str | None = None
        self._over = threading.Event()

    @property
    def run(self) -> Storage:
        return self._worker.run.storage

    def stop_reason(self) -> str | None:
        return self._reason

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        self._worker.show(name, done, total, unit)

    def beat(self, step: int) -> None:
        self._worker.beat(step)

    def note(self, kind: str, **fields: Any) -> None:
        if self.rank:
            return
        if self._ledger is None:
            self._ledger = Ledger(self.run, attempt=self.attempt, writer="rank-000")
        self._ledger.record(kind, **fields)

    def listen(self) -> None:
        """Asks the desk now and then, so that no step has to."""
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                self._reason = ray.get(self._worker.desk.stop_reason.remote())
            except ray.exceptions.RayError:
                return  # the group is going away

    def close(self) -> None:
        self._over.set()
        if self._ledger is not None:
            self._ledger.close()


@contextmanager
def rank_port(worker: Worker) -> Iterator[RankPort]:
    port = RankPort(worker)
    listener = threading.Thread(target=port.listen, daemon=True, name="stop-listener")
    if port.rank == 0:
        listener.start()
    try:
        yield port
    finally:
        port.close()
