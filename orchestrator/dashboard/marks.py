"""Events as places on a chart's axis: attempts, faults, stops, checkpoints passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orchestrator.runs.ledger import Event
from orchestrator.tracking.table import Columns

# Event → whether it is a fault, which a chart draws in another colour.
_SHOWN = {
    **{"attempt_started": False, "resumed": False, "stopping": False, "stopped": False},
    **{"finished": False, "recovering": True, "failed": True, "attempt_killed": True},
    **{"checkpoint_quarantined": True, "checkpoint_missing": True, "diverged": True},
    **{"step_skipped": True},
}


def marks(events: Sequence[Event], lines: Columns) -> list[dict[str, Any]]:
    """`lines` are those that count; an event lies where the run was when it happened."""
    found = []
    by_time = np.argsort(lines.time, kind="stable")
    times = lines.time[by_time]
    for event in events:
        if event.kind not in _SHOWN:
            continue
        mark = {
            "kind": event.kind,
            "attempt": event.attempt,
            "at": event.time,
            "is_fault": _SHOWN[event.kind],
            "text": _told(event),
        }
        if len(times):
            row = by_time[max(0, int(np.searchsorted(times, event.time, "right")) - 1)]
            mark |= {
                "step": _step(event, int(lines.step[row])),
                "tokens": int(lines.tokens[row]),
                "time": event.time - float(lines.time[0]),
            }
        found.append(mark)
    return found


def _step(event: Event, otherwise: int) -> int:
    step = event.fields.get("step")
    return step if isinstance(step, int) else otherwise


def _told(event: Event) -> str:
    said = event.fields
    words = said.get("reason") or said.get("message") or said.get("signal") or ""
    if event.kind == "resumed":
        lost = said.get("steps_lost")
        words = f"from step {said.get('step')}" + (f", {lost} steps lost" if lost else "")
    return str(words).partition("\n")[0][:240]
