"""Lines of metrics → rows of W&B, in which each figure has one value at each step. Pure.

W&B's history cannot be rewound. An attempt that repeats steps measures the same values again, so
the first ones stay and the repeated ones are left out; what is new in a line goes on.
"""

from __future__ import annotations

import json

STEP = "train/step"  # the axis of every chart

Value = float | int | str | None
Row = dict[str, Value]


class Projection:
    def __init__(self) -> None:
        self._reached: dict[str, tuple[int, int]] = {}  # figure → (attempt, step) of its last value

    def row(self, line: bytes) -> Row | None:
        """None for a line that has nothing new, or that is damaged."""
        try:
            plain = json.loads(line)
            step, attempt = int(plain["step"]), int(plain["attempt"])
            time, tokens = float(plain["time"]), int(plain["tokens"])
            values = dict(plain["values"])
        except (ValueError, KeyError, TypeError):
            return None
        new: Row = {
            name: value for name, value in values.items() if self._take(name, attempt, step)
        }
        if not new:
            return None
        spent: Row = {"train/tokens": tokens} if tokens else {}
        # W&B's own name for the time of a row: a run that is sent later keeps its times.
        return {STEP: step, "attempt": attempt, "_timestamp": time, **spent, **new}

    def _take(self, name: str, attempt: int, step: int) -> bool:
        """Within an attempt a figure may have several values at a step: samples of a load."""
        known = self._reached.get(name)
        if known is not None:
            is_repeated = step <= known[1] if attempt != known[0] else step < known[1]
            if is_repeated:
                return False
        self._reached[name] = (attempt, step)
        return True
