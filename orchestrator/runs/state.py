"""Events and the lease → what state a run is in. Pure: the same folder gives the same answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from orchestrator.errors import BudgetSpent, RunFailed, RunStopped
from orchestrator.runs.lease import Holder
from orchestrator.runs.ledger import Event


class State(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    RECOVERING = "recovering"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self in (State.STOPPED, State.FINISHED, State.FAILED)


def exit_code_of(state: State, *, is_spent: bool) -> int:
    """What a command ends with that saw a run end so."""
    if is_spent:
        return BudgetSpent.exit_code
    return {State.FINISHED: 0, State.STOPPED: RunStopped.exit_code}.get(state, RunFailed.exit_code)


# What an event says about the state; events that are not here leave it as it is.
_STATE_OF = {
    "submitted": State.QUEUED,
    "attempt_started": State.STARTING,
    "running": State.RUNNING,
    "recovering": State.RECOVERING,
    "stopping": State.STOPPING,
    "stopped": State.STOPPED,
    "finished": State.FINISHED,
    "failed": State.FAILED,
}


@dataclass(frozen=True, kw_only=True)
class Status:
    state: State = State.QUEUED
    attempt: int = 0
    reason: str = ""
    blame: str = ""  # user, cluster, storage, nobody: whose move it is
    hint: str = ""
    created: float = 0.0
    started: float | None = None  # of the latest attempt
    ended: float | None = None
    place: str = ""  # here, cluster
    address: str | None = None
    submission_id: str | None = None
    driver: str | None = None
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    part_of: str | None = None  # the pipeline whose step it is
    is_lost: bool = False  # failed without a word: judged from the lease alone
    is_spent: bool = False  # failed as often as recovery allows

    @property
    def exit_code(self) -> int:
        return exit_code_of(self.state, is_spent=self.is_spent)


def derive(events: Sequence[Event], holder: Holder | None, *, now: float | None = None) -> Status:
    status = _fold(events)
    if holder is not None:
        status = replace(status, driver=f"process {holder.pid} on {holder.host}")
    # In the foreground a driver takes the lease first and then says `submitted`.
    waits_here = status.state is State.QUEUED and status.place == "here"
    is_driven = waits_here or status.state in (
        State.STARTING,
        State.RUNNING,
        State.RECOVERING,
        State.STOPPING,
    )
    why_dead = holder.why_dead(now) if holder and is_driven else None
    if holder is None or why_dead is None:
        return status
    killed = (e for e in events if (e.kind, e.attempt) == ("attempt_killed", status.attempt))
    ended_by = next(killed, None)
    how = f" ({ended_by.fields.get('signal')})" if ended_by else ""
    return replace(
        status,
        state=State.FAILED,
        is_lost=True,
        reason=f"The {why_dead}{how}; it did not say goodbye, so it was killed or its node died.",
        blame="cluster",
        hint="orchestrator resume RUN",
        ended=holder.renewed,
    )


def _fold(events: Iterable[Event]) -> Status:
    status = Status()
    for event in events:
        status = _apply(status, event)
    return status


def _apply(status: Status, event: Event) -> Status:
    said = event.fields
    if event.kind == "tagged":
        kept = [tag for tag in status.tags if tag not in said.get("remove", ())]
        return replace(status, tags=tuple(dict.fromkeys([*kept, *said.get("add", ())])))
    if event.kind == "noted":
        return replace(status, notes=(*status.notes, str(said.get("text", ""))))
    if event.kind == "created":
        tags = dict.fromkeys([*said.get("tags", ()), *status.tags])
        part_of = said.get("part_of")
        return replace(status, created=event.time, tags=tuple(tags), part_of=part_of)
    state = _STATE_OF.get(event.kind)
    if state is None or event.attempt < status.attempt:
        return status  # a late word of an attempt that was given up
    if event.attempt > status.attempt:
        status = replace(status, state=State.QUEUED, attempt=event.attempt, **_AFRESH)
    if event.kind == "submitted":
        status = replace(
            status,
            place=said.get("place", ""),
            address=said.get("address"),
            submission_id=said.get("submission_id"),
        )
    if event.kind == "attempt_started":
        status = replace(status, started=event.time)
    if _HOW_FAR[state] < _HOW_FAR[status.state]:
        return status
    if state.is_over:
        status = replace(
            status,
            ended=event.time,
            reason=said.get("reason", ""),
            blame=said.get("blame", ""),
            hint=said.get("hint", ""),
            is_spent=bool(said.get("is_spent")),
        )
    if state is State.RECOVERING:
        status = replace(status, reason=said.get("reason", ""))
    elif status.state is State.RECOVERING and not state.is_over:
        status = replace(status, reason="")  # it was that of the wait
    return replace(status, state=state)


_AFRESH: dict[str, Any] = {
    **{"reason": "", "blame": "", "hint": "", "is_spent": False},
    **{"started": None, "ended": None},
}
# Within an attempt a state only goes forward: its events come from machines with different clocks,
# and one that arrives late must not bring an ended run back to life.
_HOW_FAR = {
    **{State.QUEUED: 0, State.STARTING: 1, State.RUNNING: 2, State.RECOVERING: 2},
    **{State.STOPPING: 3, State.STOPPED: 4, State.FINISHED: 4, State.FAILED: 4},
}
