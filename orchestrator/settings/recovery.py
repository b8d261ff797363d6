"""How often a run that failed is tried again before a person is asked.

Counted for each cause apart, and only since the last progress: an attempt that commits a checkpoint
beyond those before it gives every budget back.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.units import Seconds


@dataclass(frozen=True, kw_only=True)
class Recovery:
    infrastructure: int = setting(
        "Tries after a lost worker, node or connection, or a hang; 0: it fails at once",
        default=3,
        bounds=Bounds(at_least=0),
    )
    out_of_memory: int = setting(
        "Tries after a worker ran out of memory: neighbours may be the reason, once",
        default=1,
        bounds=Bounds(at_least=0),
    )
    storage: int = setting(
        "Tries after a storage did not answer or was full", default=6, bounds=Bounds(at_least=0)
    )
    preemption: int = setting(
        "Tries after a node was taken away with notice", default=100, bounds=Bounds(at_least=0)
    )
    backoff: Seconds = setting(
        "The first wait before a try; each further one is twice as long",
        default=5.0,
        bounds=Bounds(at_least=0),
    )
    longest_backoff: Seconds = setting(
        "No wait is longer", default=300.0, bounds=Bounds(at_least=0)
    )
