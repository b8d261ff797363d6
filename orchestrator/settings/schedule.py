"""How the learning rate goes up and down. `training/schedule.py` computes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Unit

Amount = Annotated[float, Unit.COUNT]  # below 1 a share of the run, else a count


class ScheduleKind(StrEnum):
    LINEAR = "linear"
    COSINE = "cosine"
    WSD = "wsd"  # warm-up, stable, decay
    CONSTANT = "constant"


class Counted(StrEnum):
    STEPS = "steps"
    TOKENS = "tokens"  # nominal ones: packs times batch.pack_tokens


@dataclass(frozen=True, kw_only=True)
class Schedule:
    kind: ScheduleKind = setting(
        "What follows the warm-up: linear or cosine, down to the end of the run; wsd: constant, "
        "then down as 1 - sqrt; constant",
        default=ScheduleKind.LINEAR,
    )
    counted_in: Counted = setting(
        "What the run is measured in: where the batch grows, steps and tokens differ",
        default=Counted.STEPS,
    )
    warmup: Amount = setting(
        "How long the rate rises to its peak: a share of the run below 1, else a count",
        default=0.01,
        bounds=Bounds(at_least=0),
    )
    decay: Amount = setting(
        "Of wsd: how long it falls at the end, a share of the run below 1, else a count",
        default=0.1,
        bounds=Bounds(above=0),
    )
    final_fraction: float = setting(
        "What is left of the rate at the end",
        default=0.0,
        bounds=Bounds(at_least=0, at_most=1),
    )

    @property
    def needs_horizon(self) -> bool:
        """Whether it can be computed only when the end of the run is known."""
        return self.kind is not ScheduleKind.CONSTANT or 0 < self.warmup < 1

    def findings(self) -> Iterator[Finding]:
        if self.kind is ScheduleKind.WSD and self.warmup < 1 and self.decay < 1:
            together = self.warmup + self.decay
            if together > 1:
                yield Finding(
                    key="decay",
                    found=f"={self.decay:g}",
                    rule=f"and schedule.warmup={self.warmup:g} are {together:g} of the run.",
                    try_=f"{1 - self.warmup:g} at most.",
                )
