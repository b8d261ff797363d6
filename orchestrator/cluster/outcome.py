"""How an attempt ended, why, and whose move it is. Decided from plain facts."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from typing import Any

from orchestrator.errors import ClusterError, OrchestratorError, RequestError, StorageError
from orchestrator.runs.state import State, exit_code_of


class Cause(Enum):
    NONE = "none"
    USER_CODE = "user code"
    SETTINGS = "settings"
    OUT_OF_MEMORY = "out of memory"
    INFRASTRUCTURE = "infrastructure"
    PREEMPTION = "preemption"
    MORE_WORKERS = "more workers"
    NOT_PLACED = "not placed"
    STORAGE = "storage"
    NEVER_SATISFIABLE = "never satisfiable"
    WORKERS_DIFFER = "workers differ"
    DRIVER_GONE = "driver gone"

    @property
    def blame(self) -> str:
        mine = (Cause.USER_CODE, Cause.SETTINGS, Cause.NEVER_SATISFIABLE)
        if self in (Cause.NONE, Cause.MORE_WORKERS):
            return "nobody"
        if self is Cause.STORAGE:
            return "storage"
        return "user" if self in mine else "cluster"

    @property
    def exit_code(self) -> int:
        return 0 if self is Cause.NONE else 1


class NeverSatisfiable(RequestError):
    """More was asked for than the cluster has or can get."""


class WorkersDiffer(OrchestratorError):
    """Some worker does not run what was planned."""


class WorkerDied(OrchestratorError):
    """A worker process or its node went away without an exception of its own."""


class GroupHung(OrchestratorError):
    """Workers waited for others that did not come."""


class NotPlaced(ClusterError):
    """The workers found no room for as long as the job was willing to wait."""


class Preempted(OrchestratorError):
    """A node was taken away before its workers had reached a safe point."""


class OutOfMemory(OrchestratorError):
    """A worker asked for more memory than there is."""


class Moved(OrchestratorError):
    """The workers ended at a safe point, to go on as another group."""

    def __init__(self, message: str, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class Outcome:
    state: str  # finished, stopped, failed, or resized: goes on with other workers
    cause: Cause = Cause.NONE
    reason: str = ""
    hint: str = ""
    is_spent: bool = False  # it failed as often as recovery allows

    @property
    def exit_code(self) -> int:
        return exit_code_of(State(self.state), is_spent=self.is_spent)

    @classmethod
    def finished(cls) -> Outcome:
        return cls(state="finished")

    @classmethod
    def stopped(cls, reason: str) -> Outcome:
        return cls(state="stopped", reason=reason, hint=_RESUME)

    @classmethod
    def of_error(cls, err: Exception) -> Outcome:
        if isinstance(err, Moved):
            return cls(state="resized", cause=err.cause, reason=err.message)
        if isinstance(err, OrchestratorError):
            reason, hint = err.message, err.hint or ""
        else:
            first = (str(err).strip().splitlines() or ["no message"])[0]
            reason, hint = f"{type(err).__name__}: {first}", ""
        return cls(state="failed", cause=_cause_of(err), reason=reason, hint=hint or _LOGS)

    @classmethod
    def of_exit(cls, exit_code: int, *, stop_reason: str | None, was_ended: bool) -> Outcome:
        """For a process that ended without a last word; a negative code is a signal's number."""
        how = f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name
        if stop_reason is not None:
            reason = (
                f"{stop_reason}; it did not reach a safe point in time and was ended ({how})"
                if was_ended
                else f"{stop_reason}; its process ended while stopping ({how})"
            )
            return cls.stopped(reason)
        told = f"The attempt's process ended without a last word ({how})"
        if exit_code < 0:
            is_kill = exit_code == -signal.SIGKILL
            why = "killed from outside, or by the kernel for want of memory"
            reason = f"{told}: {why}." if is_kill else f"{told}: it crashed below Python."
            return cls(state="failed", cause=Cause.INFRASTRUCTURE, reason=reason, hint=_RESUME)
        return cls(state="failed", cause=Cause.USER_CODE, reason=f"{told}.", hint=_LOGS)

    def to_plain(self) -> dict[str, Any]:
        return {
            "outcome": self.state,
            "cause": self.cause.value,
            "reason": self.reason,
            "hint": self.hint,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Outcome:
        return cls(
            state=plain["outcome"],
            cause=Cause(plain["cause"]),
            reason=plain["reason"],
            hint=plain["hint"],
        )


_RESUME = "orchestrator resume RUN"
_LOGS = "orchestrator logs RUN"


def _cause_of(err: Exception) -> Cause:
    kinds: list[tuple[type[Exception], Cause]] = [
        (NeverSatisfiable, Cause.NEVER_SATISFIABLE),
        (WorkersDiffer, Cause.WORKERS_DIFFER),
        (WorkerDied, Cause.INFRASTRUCTURE),
        (GroupHung, Cause.INFRASTRUCTURE),
        (Preempted, Cause.PREEMPTION),
        (NotPlaced, Cause.NOT_PLACED),
        (StorageError, Cause.STORAGE),
        (RequestError, Cause.SETTINGS),
        (ClusterError, Cause.INFRASTRUCTURE),
        (OutOfMemory, Cause.OUT_OF_MEMORY),
        (MemoryError, Cause.OUT_OF_MEMORY),
        (ConnectionError, Cause.INFRASTRUCTURE),
    ]
    # Ray's own errors outside of workers and tasks: a head or an actor that went away. By name,
    # since the driver reads this file and has no Ray.
    otherwise = (
        Cause.INFRASTRUCTURE if type(err).__module__.partition(".")[0] == "ray" else Cause.USER_CODE
    )
    return next((cause for kind, cause in kinds if isinstance(err, kind)), otherwise)
