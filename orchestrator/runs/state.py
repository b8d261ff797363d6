"""Events and the lease → what state a run is in. Pure: the same folder gives the same answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

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


# What an event says about the state; events that are not here leave it as it is.
_STATE_OF = {
    "created": State.QUEUED,
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
    is_lost: bool = False  # failed without a word: judged from the lease alone


def derive(events: Sequence[Event], holder: Holder | None, *, now: float | None = None) -> Status:
    status = _fold(events)
    if holder is not None:
        status = replace(status, driver=f"process {holder.pid} on {holder.host}")
    is_driven = status.state in (State.STARTING, State.RUNNING, State.RECOVERING, State.STOPPING)
    why_dead = holder.why_dead(now) if holder and is_driven else None
    if holder is None or why_dead is None:
        return status
    ended_by = next((e for e in reversed(events) if e.kind == "attempt_killed"), None)
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
    state = _STATE_OF.get(event.kind)
    if state is None or event.attempt < status.attempt:
        return status  # a late word of an attempt that was given up
    status = replace(status, state=state, attempt=max(status.attempt, event.attempt))
    if event.kind == "created":
        return replace(status, created=event.time, tags=tuple(said.get("tags", ())))
    if event.kind == "submitted":
        return replace(
            status,
            place=said.get("place", ""),
            address=said.get("address"),
            submission_id=said.get("submission_id"),
            **_AFRESH,
        )
    if event.kind == "attempt_started":
        return replace(status, started=event.time, **_AFRESH)
    if state.is_over:
        return replace(
            status,
            ended=event.time,
            reason=said.get("reason", ""),
            blame=said.get("blame", ""),
            hint=said.get("hint", ""),
        )
    return status


_AFRESH: dict[str, Any] = {"reason": "", "blame": "", "hint": "", "ended": None}
