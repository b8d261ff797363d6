"""The training loop's port on a rank of a Ray Train group."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ray
import ray.train.torch
import torch

from orchestrator.cluster.desk import Measurement
from orchestrator.cluster.workers import Worker
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import Storage
from orchestrator.tracking.system import SystemWriter

_LOOK_EVERY_S = 0.5
_ASK_EVERY_S = 0.05  # while a rank waits for an answer


class RankPort:
    """Use `rank_port`."""

    def __init__(self, worker: Worker, run: Storage, *, is_heard: bool) -> None:
        self._worker, self._is_heard = worker, is_heard
        self.run = run
        self.rank, self.world, self.attempt = worker.rank, worker.world, worker.attempt
        self.device: torch.device = ray.train.torch.get_device()
        self.control = worker.control
        self._ledger: Ledger | None = None
        self._system = SystemWriter(
            self.run, attempt=self.attempt, rank=self.rank, gpu=_gpu_of(self.device)
        )
        self._reason: str | None = None
        self._over = threading.Event()

    def stop_reason(self) -> str | None:
        return self._reason

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        self._worker.show(name, done, total, unit)

    def beat(self, step: int) -> None:
        self._worker.beat(step)
        self._system.beat(step)

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        """Rank 0 waits for an answer, the others for rank 0: in what they do together next."""
        if self.rank or not self._is_heard:
            return
        desk = self._worker.desk
        ray.get(desk.measured.remote(Measurement(step=step, values=dict(values))))
        while not ray.get(desk.is_answered.remote(step)):
            time.sleep(_ASK_EVERY_S)
        self._reason = ray.get(desk.stop_reason.remote())

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
        self.measured = port.measured
        self._name = storage.uri.removeprefix(port.run.uri).strip("/")

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        told = f"{self._name}: {name}" if self._name else name
        self._port.show(told, done, total, unit)

    def note(self, kind: str, **fields: Any) -> None:
        where = {"inside": self._name} if self._name else {}
        self._port.note(kind, **where, **fields)


@contextmanager
def rank_port(
    worker: Worker, run: Storage | None = None, *, is_heard: bool = False
) -> Iterator[RankPort]:
    """`run` is the folder of a trial, where that is not the run's. With `is_heard` whoever started
    the group answers each measurement."""
    folder = worker.run.storage if run is None else run
    port = RankPort(worker, folder, is_heard=is_heard)
    listener = threading.Thread(target=port.listen, daemon=True, name="stop-listener")
    if port.rank == 0:
        listener.start()
    try:
        yield port
    finally:
        port.close()


def _gpu_of(device: torch.device) -> str | None:
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else None
