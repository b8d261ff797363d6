"""When a run ends: after so many steps, tokens or so much time, whichever is first.

Steps and tokens are the same on every machine, so the schedules have their horizon there. Time is
not: it can end a run early, but no schedule goes by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Count, Seconds


@dataclass(frozen=True, kw_only=True)
class Budget:
    steps: Count | None = setting(
        "Steps of the run; null: not counted", default=None, bounds=Bounds(at_least=1)
    )
    tokens: Count | None = setting(
        "Nominal tokens of the run, up to a whole step; null: not counted",
        default=None,
        bounds=Bounds(at_least=1),
    )
    max_duration: Seconds | None = setting(
        "Time of training, all attempts together; null: any", default=None, bounds=Bounds(above=0)
    )

    def findings(self) -> Iterator[Finding]:
        if self.steps is None and self.tokens is None and self.max_duration is None:
            yield Finding(
                key="steps",
                found="=null",
                rule="with budget.tokens=null and budget.max_duration=null never ends.",
                try_="budget.steps=1000.",
            )
