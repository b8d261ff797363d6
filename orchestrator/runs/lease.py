"""The run's lease: one driver at a time, on file systems with a lock and on stores without one.

Each driver takes the next generation, `leases/000002.json`; the highest one holds. Taking over a
dead driver's run is therefore the same exclusive create as taking a fresh one, and a driver that
was only asleep finds a higher generation at its next renewal and stops.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.storage import Storage

RENEW_EVERY_S = 4.0
LOST_AFTER_S = 20.0
_SETTLE_S = 1.0  # between write and read back where there is no exclusive create


class LeaseLost(OrchestratorError):
    """Another driver has the run; this one must touch nothing any more."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds (or held) a run, and when that was last true."""

    owner: str
    host: str
    boot: str
    pid: int
    pid_started: float
    acquired: float
    renewed: float
    released: bool = False
    generation: int = 0

    def is_here(self) -> bool:
        """On this machine, where it can be looked for among the processes."""
        return (self.host, self.boot) == _this_machine()

    def why_dead(self, now: float | None = None) -> str | None:
        """Why this driver is known to be gone, or None while it may be alive."""
        who = f"driver process {self.pid} on {self.host}"
        if self.released:
            return f"{who} let go of the run"
        if self.is_here():
            return None if _is_alive(self.pid, self.pid_started) else f"{who} no longer exists"
        silent_s = (time.time() if now is None else now) - self.renewed
        if silent_s > LOST_AFTER_S:
            return f"{who} has not been heard of for {silent_s:.0f} s"
        return None


class Lease:
    """Held by a driver from `acquire` to `release`; `renew` every few seconds."""

    def __init__(self, run: Storage, holder: Holder) -> None:
        self._run = run
        self.holder = holder

    @classmethod
    def acquire(cls, run: Storage, *, of: str = "run") -> Lease:
        """`of` is what the folder holds, as an error would call it."""
        current = read_holder(run)
        if current and not current.released:
            refuse_if_alive(run, current, of=of)
        generation = (current.generation if current else 0) + 1
        host, boot = _this_machine()
        now = time.time()
        holder = Holder(
            owner=uuid.uuid4().hex,
            host=host,
            boot=boot,
            pid=os.getpid(),
            pid_started=psutil.Process().create_time(),
            acquired=now,
            renewed=now,
            generation=generation,
        )
        created = run.create(layout.lease(generation), _encode(holder))
        if created and not run.is_local:
            time.sleep(_SETTLE_S)
        winner = read_holder(run)
        if not created or winner is None or winner.owner != holder.owner:
            raise _taken(winner or holder, of)
        return cls(run, holder)

    def renew(self) -> None:
        """Raises LeaseLost when another driver took over while this one did not renew."""
        current = read_holder(self._run)
        if current is None or current.owner != self.holder.owner:
            raise LeaseLost(
                "Another driver took over this run"
                + (f": process {current.pid} on {current.host}." if current else ".")
            )
        self.holder = replace(self.holder, renewed=time.time())
        self._run.write(layout.lease(self.holder.generation), _encode(self.holder))

    def release(self) -> None:
        self.holder = replace(self.holder, renewed=time.time(), released=True)
        self._run.write(layout.lease(self.holder.generation), _encode(self.holder))


def read_holder(run: Storage) -> Holder | None:
    """The holder of the highest generation."""
    entries = [entry for entry in run.list(layout.LEASES) if entry.name.endswith(".json")]
    if not entries:
        return None
    newest = entries[-1].name
    try:
        plain = json.loads(run.read(f"{layout.LEASES}/{newest}"))
        return Holder(**{**plain, "generation": int(Path(newest).stem)})
    except (ValueError, TypeError) as err:
        raise OrchestratorError(f"{run.uri}/{layout.LEASES}/{newest} is damaged: {err}.") from err


def refuse_if_alive(run: Storage, current: Holder, *, of: str = "run") -> None:
    """Clocks differ: a holder on another machine counts as gone only if it also stays silent."""
    if current.why_dead() is None:
        raise _taken(current, of)
    if not current.is_here() and is_still_renewed(run, current):
        raise _taken(current, of)


def is_still_renewed(run: Storage, seen: Holder) -> bool:
    """Watched for longer than a renewal takes: says more than two machines' clocks do."""
    time.sleep(RENEW_EVERY_S * 1.5)
    again = read_holder(run)
    return again is not None and again.renewed != seen.renewed and not again.released


def _taken(holder: Holder, of: str) -> RequestError:
    return RequestError(
        f"This {of} already has a driver: process {holder.pid} on {holder.host}. A {of} has one.",
        hint="Follow it with `orchestrator logs -f RUN`, or end it with `orchestrator stop RUN`.",
    )


def _encode(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _this_machine() -> tuple[str, str]:
    """Where the numbers of processes mean the same: two pods of one node can share its host name,
    and each has a process 1 of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, numbering = str(int(psutil.boot_time())), ""
    return socket.gethostname(), f"{boot} {numbering}".strip()


def _is_alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < 1.0
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
