"""A run's folder: made whole or not at all, read by everybody, written by one writer per file."""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.lease import is_still_renewed, read_holder
from orchestrator.runs.ledger import Event, Ledger, read_events
from orchestrator.runs.plan import Fingerprint, Plan
from orchestrator.runs.state import Status, derive
from orchestrator.runs.storage import Storage
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import freeze, thaw
from orchestrator.settings.secrets import mask

_WORST_SKEW_S = 600.0  # between nodes that are worth asking twice


class RunFolder:
    def __init__(self, storage: Storage, run_id: str) -> None:
        self.id = run_id
        self.parent = storage
        self.storage = storage.child(run_id)

    @property
    def uri(self) -> str:
        return self.storage.uri

    def exists(self) -> bool:
        return self.storage.exists(layout.JOB)

    def job(self) -> Job:
        return thaw(self.storage.read(layout.JOB).decode(), source=f"{self.uri}/{layout.JOB}")

    def lineage(self) -> dict[str, Any]:
        try:
            plain = json.loads(self.storage.read(layout.LINEAGE))
            return dict(plain)
        except (ValueError, TypeError) as err:
            raise OrchestratorError(f"{self.uri}/{layout.LINEAGE} is damaged: {err}.") from err

    def events(self) -> list[Event]:
        return read_events(self.storage)

    def status(self, *, patient: bool = False) -> Status:
        """`patient` takes seconds rather than believe two clocks that a far driver is dead."""
        events, holder = self.events(), read_holder(self.storage)
        status = derive(events, holder)
        if not (patient and status.is_lost and holder) or holder.is_here():
            return status
        is_fresh = abs(time.time() - holder.renewed) < _WORST_SKEW_S
        if is_fresh and not holder.released and is_still_renewed(self.storage, holder):
            return derive(events, holder, now=holder.renewed)
        return status

    def client_ledger(self, attempt: int = 0) -> Ledger:
        """A pen for a command that is no driver: each gets a file of its own."""
        writer = f"client-{socket.gethostname()[:20]}-{os.getpid()}-{secrets.token_hex(3)}"
        return Ledger(self.storage, attempt=attempt, writer=writer)

    def note(self, kind: str, *, attempt: int = 0, **fields: Any) -> None:
        """One event by a command that is no driver."""
        with closing(self.client_ledger(attempt)) as ledger:
            ledger.record(kind, **fields)

    def code(self, attempt: int) -> bytes:
        """The code that this attempt runs: the newest that was packed up to it."""
        for number in range(attempt, 0, -1):
            name = layout.code_of_attempt(number)
            if self.storage.exists(name):
                return self.storage.read(name)
        return self.storage.read(layout.CODE)

    def expected(self, attempt: int) -> Fingerprint:
        """What the plan of this attempt says that every worker must have."""
        planned = [
            event
            for event in self.events()
            if event.kind == "submitted" and event.attempt <= attempt
        ]
        if not planned:
            raise OrchestratorError(f"{self.id} was never submitted; its plan is unknown.")
        # Not the last in time: attempts are submitted from machines with different clocks.
        newest = max(planned, key=lambda event: event.attempt)
        return Fingerprint.from_plain(newest.fields["fingerprint"])

    def checkpoint_steps(self) -> list[int]:
        """Steps of committed checkpoints, oldest first."""
        return Checkpoints(self.storage).steps()


def create_run(storage: Storage, run_id: str, plan: Plan) -> RunFolder:
    """All files of a fresh run; job.yaml comes last, and on any mishap nothing stays behind."""
    assert plan.job is not None and plan.code is not None and plan.fingerprint is not None
    run = RunFolder(storage, run_id)
    if run.storage.list():
        raise RequestError(f"{run.uri} is there already.", hint="Submit again, for another id.")
    job, code = plan.job, plan.code
    lineage = {
        **plan.lineage,
        "overrides": [mask(text) for text in plan.overrides],
        "parent": plan.parent,
        "code": {"files": len(code.files), "fingerprint": code.fingerprint},
        "plan_fingerprint": plan.fingerprint.whole,
    }

    def write() -> None:
        run.storage.write(layout.CODE, code.zip())
        run.storage.write(layout.LINEAGE, json.dumps(lineage, indent=1).encode())
        for name, child in plan.children.items():
            run.storage.write(layout.child(name), freeze(child).encode())
        parent = plan.parent or {}
        part_of = {"part_of": parent["run"]} if "step" in parent else {}  # of a pipeline
        user = lineage.get("user")
        run.note("created", job=job.kind, tags=list(job.tags), user=user, **part_of)
        run.storage.write(layout.JOB, freeze(job).encode())

    _whole_or_nothing(run.storage, write)
    return run


def _whole_or_nothing(storage: Storage, write: Callable[[], None]) -> None:
    try:
        write()
    except BaseException:
        with suppress(OrchestratorError):  # what went wrong first is what is told
            storage.remove("")
        raise
