"""Where a run's time went: useful steps, waits, starts, steps done twice, checkpoints, the rest.

From events and metrics alone, so it holds for a run whose processes are long gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from orchestrator.runs.ledger import Event
from orchestrator.tracking.table import Columns, Floats, is_effective

NAMES = ("train/step_s", "train/checkpoint_stall")
_ENDS = ("stopped", "finished", "failed", "attempt_ended", "attempt_killed", "recovering")


def breakdown(events: Sequence[Event], lines: Columns, *, now: float) -> dict[str, float]:
    """Seconds by kind. `lines` has the repeated steps as well, and the metrics of NAMES."""
    attempts = sorted({event.attempt for event in events if event.attempt > 0})
    spent = dict.fromkeys(("useful", "waiting", "starting", "repeated", "checkpointing"), 0.0)
    total = 0.0
    for number in attempts:
        own = [event for event in events if event.attempt == number]
        began = _first(own, "submitted") or _first(own, "attempt_started")
        if began is None:
            continue
        ended = max((event.time for event in own if event.kind in _ENDS), default=now)
        started = _first(own, "attempt_started") or ended
        running = _first(own, "running") or _first_line(lines, number) or ended
        spent["waiting"] += max(0.0, started - began)
        spent["starting"] += max(0.0, running - started)
        spent["checkpointing"] += _stalled(lines, number, running)
        total += max(0.0, ended - began)
    spent["waiting"] += _between(events, attempts)
    total += _between(events, attempts)
    took = np.where(lines.attempt > 0, _step_seconds(lines), 0.0)  # 0: steps of a fork's parent
    counts = is_effective(lines.attempt, lines.step)
    spent["useful"] = float(took[counts].sum())
    spent["repeated"] = float(took[~counts].sum())
    spent["other"] = max(0.0, total - sum(spent.values()))
    return spent


def _between(events: Sequence[Event], attempts: Sequence[int]) -> float:
    """The waits that a driver took by itself before it tried again."""
    waits = 0.0
    for before, after in pairwise(attempts):
        recovering = [e.time for e in events if (e.kind, e.attempt) == ("recovering", before)]
        begun = [e.time for e in events if e.attempt == after]
        if recovering and begun:
            waits += max(0.0, min(begun) - recovering[-1])
    return waits


def _first(events: Sequence[Event], kind: str) -> float | None:
    return next((event.time for event in events if event.kind == kind), None)


def _first_line(lines: Columns, attempt: int) -> float | None:
    times = lines.time[lines.attempt == attempt]
    return float(times.min()) if len(times) else None


def _stalled(lines: Columns, attempt: int, running: float) -> float:
    """The meter writes the share of the attempt's time; its last word is for all of it."""
    shares, of_this = lines.values["train/checkpoint_stall"], lines.attempt == attempt
    told = np.flatnonzero(of_this & ~np.isnan(shares))
    if not len(told):
        return 0.0
    return float(shares[told[-1]]) * max(0.0, float(lines.time[told[-1]]) - running)


def _step_seconds(lines: Columns) -> Floats:
    """As measured; where it was not, a line's distance from the one before in its attempt."""
    took: Floats = lines.values["train/step_s"]
    if not len(took) or not np.isnan(took).all():
        return np.nan_to_num(took, nan=0.0)
    gaps = np.diff(lines.time, prepend=lines.time[:1])
    gaps[np.diff(lines.attempt, prepend=lines.attempt[:1]) != 0] = 0.0
    return np.maximum(gaps, 0.0)
