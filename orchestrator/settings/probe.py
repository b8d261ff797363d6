"""The `probe` job: measure a cluster before anything is trusted to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.job import Job
from orchestrator.settings.names import Table
from orchestrator.settings.units import Bytes, Seconds

# Name → function of (Bench) → {metric: value}; a user's extension registers more.
CHECKS: Table[Any] = Table(
    "probe check",
    {
        "storage": "orchestrator.cluster.measures:measure_storage",
        "clock": "orchestrator.cluster.measures:measure_clock",
        "allreduce": "orchestrator.cluster.measures:measure_allreduce",
        "matmul": "orchestrator.cluster.measures:measure_matmul",
    },
)


@dataclass(frozen=True, kw_only=True)
class Probe:
    checks: tuple[str, ...] = setting(
        "What is measured, in this order, on every rank at once",
        default=("storage", "clock", "allreduce", "matmul"),
    )
    message_bytes: tuple[Bytes, ...] = setting(
        "Sizes of the all-reduce messages",
        default=(4096, 2**20, 16 * 2**20),
        bounds=Bounds(at_least=4, at_most=2**32),
    )
    matmul_size: int = setting(
        "Rows and columns of the multiplied matrices",
        default=1024,
        bounds=Bounds(at_least=16, at_most=32768),
    )
    storage_bytes: Bytes = setting(
        "What each rank writes to the storage and reads back",
        default=8 * 2**20,
        bounds=Bounds(at_least=1, at_most=2**34),
    )
    repeats: int = setting(
        "Times each figure is taken; the median is reported", default=5, bounds=Bounds(at_least=1)
    )
    max_clock_skew: Seconds = setting(
        "The most that two nodes' clocks may differ", default=1.0, bounds=Bounds(above=0)
    )
    hold: Seconds = setting(
        "Stay this long after measuring, to watch a cluster or to practise stopping and killing",
        default=0.0,
        bounds=Bounds(at_least=0),
    )

    def findings(self) -> Iterator[Finding]:
        for name in self.checks:
            if name not in CHECKS:
                yield Finding(
                    key="checks",
                    found=f"={name}",
                    rule="is not a probe check.",
                    try_=did_you_mean(name, CHECKS),
                )


@dataclass(frozen=True, kw_only=True)
class ProbeJob(Job):
    kind: ClassVar[str] = "probe"

    probe: Probe = setting("What is measured", factory=Probe)
