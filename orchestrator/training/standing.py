"""Where a run stands between two steps: what a checkpoint must know beside weights and moments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.corpus.packs.stream import Cursor
from orchestrator.errors import RequestError
from orchestrator.training.schedule import Mark

_MEASURED = ("measured_step", "validation_loss", "best_loss", "best_step", "stale")


@dataclass(frozen=True, kw_only=True)
class Standing:
    step: int = 0
    cursor: Cursor = field(default_factory=Cursor)
    tokens: int = 0  # real ones, padding left out
    trained_s: float = 0.0  # steps that count, all attempts together
    spent_s: float = 0.0  # all attempts together, with what starts and repeated steps took
    allowance_s: float = 0.0  # of budget.max_duration, used up
    measured_step: int | None = None  # the newest measurement of the validation split
    validation_loss: float | None = None  # that it gave
    best_loss: float | None = None  # of all
    best_step: int | None = None
    stale: int = 0  # measurements since the best

    @property
    def mark(self) -> Mark:
        return Mark(steps=self.step, packs=self.cursor.packs_total)

    def measured(self, loss: float) -> Standing:
        """Just now. What is no number is never the best."""
        is_best = not math.isnan(loss) and (self.best_loss is None or loss < self.best_loss)
        found = replace(
            self,
            measured_step=self.step,
            validation_loss=None if math.isnan(loss) else loss,
            stale=0 if is_best else self.stale + 1,
        )
        return replace(found, best_loss=loss, best_step=self.step) if is_best else found

    def to_plain(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "cursor": self.cursor.to_plain(),
            "tokens": self.tokens,
            "trained_s": round(self.trained_s, 3),
            "spent_s": round(self.spent_s, 3),
            "allowance_s": round(self.allowance_s, 3),
            **{name: getattr(self, name) for name in _MEASURED},
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Standing:
        try:
            return cls(
                step=int(plain["step"]),
                cursor=Cursor.from_plain(plain["cursor"]),
                tokens=int(plain["tokens"]),
                trained_s=float(plain["trained_s"]),
                spent_s=float(plain["spent_s"]),
                allowance_s=float(plain["allowance_s"]),
                **{name: plain[name] for name in _MEASURED if name in plain},
            )
        except (KeyError, TypeError, ValueError) as err:
            raise RequestError(f"{plain!r} does not say where a run stands: {err!r}.") from err
