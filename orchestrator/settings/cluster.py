"""Where a job runs and what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Bytes, Seconds

ADDRESS = Bounds(
    pattern=r"https?://[^\s/@]+/?",
    pattern_said="the dashboard's URL without user or password, such as http://head:8265",
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    address: str | None = setting(
        "Ray dashboard URL (http://head:8265) to submit to; null: the cluster of `cluster up`",
        default=None,
        bounds=ADDRESS,
    )
    num_workers: int = setting("The world wanted", default=1, bounds=Bounds(at_least=1))
    min_workers: int | None = setting(
        "The least that the world may shrink to; null: num_workers",
        default=None,
        bounds=Bounds(at_least=1),
    )
    cpus_per_worker: float = setting("CPUs of a worker", default=1.0, bounds=Bounds(above=0))
    gpus_per_worker: float = setting("GPUs of a worker", default=0.0, bounds=Bounds(at_least=0))
    memory_per_worker: Bytes | None = setting(
        "Memory reserved for a worker; null: not reserved",
        default=None,
        bounds=Bounds(above=0),
    )
    dollars_per_worker_hour: float | None = setting(
        "What a worker costs in an hour, for `plan`; null: not known",
        default=None,
        bounds=Bounds(at_least=0),
    )
    start_timeout: Seconds = setting(
        "How long to wait for the workers to be placed", default=600.0, bounds=Bounds(above=0)
    )
    settle: Seconds = setting(
        "With fewer than num_workers: how long to wait for more at the start, and how long more "
        "must fit before a run grows",
        default=30.0,
        bounds=Bounds(at_least=0),
    )
    hang_timeout: Seconds = setting(
        "How long a worker waits for another before the attempt counts as hung",
        default=600.0,
        bounds=Bounds(at_least=1),
    )
    stop_grace: Seconds = setting(
        "How long a stop waits for a safe point before it kills",
        default=120.0,
        bounds=Bounds(above=0),
    )

    @property
    def device(self) -> str:
        """What a model of this job computes on: what its workers have asked for, and no other."""
        return "cuda" if self.gpus_per_worker else "cpu"

    @property
    def least_workers(self) -> int:
        return self.num_workers if self.min_workers is None else self.min_workers

    def findings(self) -> Iterator[Finding]:
        if self.least_workers > self.num_workers:
            yield Finding(
                key="min_workers",
                found=f"={self.min_workers}",
                rule=f"is more than cluster.num_workers={self.num_workers}.",
                try_=f"a number from 1 to {self.num_workers}.",
            )
        if self.gpus_per_worker > 1 and self.gpus_per_worker % 1:
            yield Finding(
                key="gpus_per_worker",
                found=f"={self.gpus_per_worker}",
                rule="is more than one and not whole; Ray shares only a single GPU.",
                try_=f"{round(self.gpus_per_worker)}.",
            )
