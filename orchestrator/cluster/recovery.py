"""Whether a run that ended before its time is tried again, when, and why. Decided from plain facts.

Called by the driver after each attempt; what it decides is written into the ledger as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.cluster.outcome import Cause
from orchestrator.runs.ledger import Event
from orchestrator.settings.recovery import Recovery
from orchestrator.settings.units import format_duration

_MOST_DOUBLINGS = 60  # of a wait: far beyond any longest one, and no overflow
_NEVER = {
    Cause.USER_CODE: "The same code would fail again.",
    Cause.SETTINGS: "The same settings would fail again.",
    Cause.NEVER_SATISFIABLE: "The cluster cannot give what is asked.",
    Cause.WORKERS_DIFFER: "The nodes would be no other.",
    Cause.NOT_PLACED: "cluster.start_timeout says how long to wait for room.",
}


@dataclass(frozen=True, kw_only=True)
class Try:
    """What one attempt came to."""

    cause: Cause
    committed: int | None = None  # step of the run's newest checkpoint when it ended
    is_progress: bool = False  # it committed one beyond all of the attempts before it
    reached: int | None = None  # the last step at which it was seen


@dataclass(frozen=True, kw_only=True)
class Decision:
    again: bool
    reason: str
    wait_s: float = 0.0
    is_spent: bool = False  # it was tried again as often as allowed


def try_of(events: Iterable[Event], attempt: int, cause: Cause, reached: int | None) -> Try:
    """An attempt as its run's ledger tells it."""
    steps = [
        (event.attempt, int(event.fields["step"]))
        for event in events
        if event.kind == "checkpoint_committed" and isinstance(event.fields.get("step"), int)
    ]
    before = max((step for number, step in steps if number < attempt), default=-1)
    own = max((step for number, step in steps if number == attempt), default=-1)
    newest = max((step for number, step in steps if number <= attempt), default=-1)
    return Try(
        cause=cause,
        committed=newest if newest >= 0 else None,
        is_progress=own > before,
        reached=reached,
    )


def decide(tries: Sequence[Try], recovery: Recovery) -> Decision:
    """After the last of these tries, which did not finish."""
    cause = tries[-1].cause
    if cause is Cause.MORE_WORKERS:
        return Decision(again=True, reason="It goes on with more workers.")
    if cause not in _BUDGETS:
        return Decision(again=False, reason=_NEVER.get(cause, ""))
    name = _BUDGETS[cause]
    allowed: int = getattr(recovery, name)
    if allowed == 0:
        return Decision(again=False, reason=f"recovery.{name}=0 allows no further try.")
    same = [one for one in _since_progress(tries) if one.cause is cause]
    if len(same) > allowed:
        reason = f"{_often(same)}; recovery.{name}={allowed} allows no further try."
        return Decision(again=False, reason=reason, is_spent=True)
    doublings = min(len(same) - 1, _MOST_DOUBLINGS)
    wait_s = min(recovery.backoff * 2**doublings, recovery.longest_backoff)
    reason = (
        f"Again in {format_duration(wait_s)}: try {len(same)} of {allowed} after {cause.value} "
        "since the last progress."
    )
    return Decision(again=True, reason=reason, wait_s=wait_s)


_BUDGETS = {
    Cause.INFRASTRUCTURE: "infrastructure",
    Cause.OUT_OF_MEMORY: "out_of_memory",
    Cause.STORAGE: "storage",
    Cause.PREEMPTION: "preemption",
}


def _since_progress(tries: Sequence[Try]) -> Sequence[Try]:
    """From the last one that made some: its own end is the first after it."""
    last = max((at for at, one in enumerate(tries) if one.is_progress), default=0)
    return tries[last:]


def _often(same: Sequence[Try]) -> str:
    told = f"It died {len(same)} times"
    reached = [one.reached for one in same if one.reached is not None]
    if not reached:
        return f"{told} without progress"
    first, last = same[-1].committed or 0, max(reached)
    return f"{told} between step {first} and {last}" if last > first else f"{told} at step {last}"
