"""How often the loss on the validation split is taken, and on how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.units import Count


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    every_steps: Count | None = setting(
        "Steps from one to the next; null: never", default=None, bounds=Bounds(at_least=1)
    )
    packs: Count = setting(
        "Packs that are read, the same ones each time", default=64, bounds=Bounds(at_least=1)
    )
