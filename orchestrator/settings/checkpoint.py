"""How often a run is made safe, and which checkpoints stay. One is always made at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Count, Seconds


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    every_steps: Count | None = setting(
        "Steps from one to the next; null: not counted", default=None, bounds=Bounds(at_least=1)
    )
    every: Seconds | None = setting(
        "Time from one to the next: what a kill may cost; null: any",
        default=600.0,
        bounds=Bounds(above=0),
    )
    keep_last: int = setting("How many of the newest stay", default=2, bounds=Bounds(at_least=1))
    keep_best: int = setting(
        "How many of those with the least validation loss stay",
        default=0,
        bounds=Bounds(at_least=0),
    )
    keep_every: Count | None = setting(
        "One at each multiple of these steps stays for ever; null: none does",
        default=None,
        bounds=Bounds(at_least=1),
    )

    def findings(self) -> Iterator[Finding]:
        if self.every_steps is None and self.every is None:
            yield Finding(
                key="every",
                found="=null",
                rule="with checkpoint.every_steps=null saves nothing before the end: a run that "
                "is killed would begin again.",
                try_="checkpoint.every=10m.",
            )
