"""The training loop's port on a rank of a Ray Train group."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
import ray.train.torch
import torch

from orchestrator.cluster.workers import Worker
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import Storage
from orchestrator.tracking.system import SystemWriter

_LOOK_EVERY_S = 0.5


class RankPort:
    """Use `rank_port`."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.rank, self.world, self.attempt = worker.rank, worker.world, worker.attempt
        self.device: torch.device = ray.train.torch.get_device()
        self.control = worker.control
        self._ledger: Ledger | None = None
        self._system = SystemWriter(
            self.run, attempt=self.attempt, rank=self.rank, gpu=_gpu_of(self.device)
        )
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
        self._system.beat(step)

    def measured(self, step: int, values: Mapping[str, float]) -> None: ...

    def note(self, kind: str, **fields: Any) -> None:
        if self.rank:
            return
        if self._ledger is None:
            self._ledger = Ledger(self.run, attempt=self.attempt, writer="rank-000")
        self._ledger.record(kind, **fields)

    def inside(self, storage: Storage) -> PortInside:
        """For a run inside of the run: its numbers go there, and news of it to the run's ledger."""
        return PortInside(self, storage)

    def listen(self) -> None:
        """Asks the desk now and then, so that no step has to."""
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                self._reason = ray.get(self._worker.desk.stop_reason.remote())
            except ray.exceptions.RayError:
                return  # the group is going away

    def close(self) -> None:
        self._over.set()
        self._system.close()
        if self._ledger is not None:
            self._ledger.close()


class PortInside:
    def __init__(self, port: RankPort, storage: Storage) -> None:
        self.rank, self.world, self.attempt = port.rank, port.world, port.attempt
        self.device, self.control = port.device, port.control
        self.run = storage
        self.stop_reason, self.beat, self._port = port.stop_reason, port.beat, port
        self._name = storage.uri.removeprefix(port.run.uri).strip("/")

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        told = f"{self._name}: {name}" if self._name else name
        self._port.show(told, done, total, unit)

    def measured(self, step: int, values: Mapping[str, float]) -> None: ...

    def note(self, kind: str, **fields: Any) -> None:
        where = {"inside": self._name} if self._name else {}
        self._port.note(kind, **where, **fields)


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


def _gpu_of(device: torch.device) -> str | None:
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else None
