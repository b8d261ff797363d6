"""A Run: everything that can be asked of it and done to it, over its folder and its cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.cluster.driver import Drive, drive
from orchestrator.cluster.follow import end_of_submission, http_for
from orchestrator.cluster.http import NotAccepted, RayHttp
from orchestrator.cluster.local import find_local
from orchestrator.cluster.outcome import Outcome
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.cluster.submit import submission_id, submit_driver
from orchestrator.errors import (
    ClusterError,
    NotFoundError,
    OrchestratorError,
    RequestError,
    SettingsError,
)
from orchestrator.planning.audit import audit_run
from orchestrator.planning.audited import RunAudit, nobody
from orchestrator.planning.audited import Tell as TellAudit
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.checkpoints import Checkpoint, Checkpoints
from orchestrator.runs.checkpoints.verify import Tell, silent
from orchestrator.runs.code import read_tree
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.lineage import package_versions
from orchestrator.runs.plan import Fingerprint
from orchestrator.runs.segments import StreamReader
from orchestrator.runs.state import State, Status
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.build import to_plain
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import fingerprint
from orchestrator.tracking.metrics import read_metrics

Say = Callable[[str], None]
_POLL_S = 0.3


class Run:
    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.id = folder.id

    def __repr__(self) -> str:
        return f"Run({self.id})"

    def job(self) -> Job:
        return self.folder.job()

    def events(self) -> list[Event]:
        return self.folder.events()

    def metrics(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder.storage)

    def checkpoints(self, *, verify: bool = False, tell: Tell = silent) -> list[Checkpoint]:
        """Oldest first. `verify` reads every byte of them."""
        return Checkpoints(self.folder.storage).all(verify=verify, tell=tell)

    def audit(self, tell: TellAudit = nobody) -> RunAudit:
        """The proof of what it trained on; reads its records and every byte of its corpus."""
        return audit_run(self.folder, tell)

    def status(self) -> Status:
        """From the folder, and where that leaves it open, from the cluster if it answers.

        What the cluster says of an end is written down: its job table will not be there for ever.
        """
        status = self.folder.status(patient=True)
        if not status.created and not self.folder.exists():
            raise NotFoundError(f"{self.id} was deleted.")
        ending = end_of_submission(status)
        if ending is None:
            return status
        status = self.folder.status()  # the driver may have told its end just now
        if status.state.is_over and not status.is_lost:
            return status
        self.folder.note(ending.state, attempt=status.attempt, **ending.said(self.id))
        return self.folder.status()

    def wait(self, *, timeout_s: float | None = None) -> Status:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            status = self.status()
            if status.state.is_over:
                return status
            if deadline is not None and time.monotonic() > deadline:
                raise OrchestratorError(f"{self.id} is still {status.state} after {timeout_s:g} s.")
            time.sleep(_POLL_S)

    def logs(self, *, follow: bool = False, say: Say = lambda _: None) -> Iterator[str]:
        """Every line of the attempts' output, once and in order; to the end of the run with follow.

        Read from the folder by offsets: a storage that does not answer for a while costs time only.
        """
        reader = StreamReader(self.folder.storage, layout.LOGS, suffix="log")
        while True:
            try:
                over = not follow or self.status().state.is_over
                lines = reader.read_new()
            except OrchestratorError as err:
                if not follow or isinstance(err, NotFoundError):
                    raise
                say(f"{err.message} Trying again …")
                time.sleep(2.0)
                continue
            yield from (line.decode(errors="replace") for _, line in lines)
            if over:
                return
            time.sleep(_POLL_S)

    def stop(self, *, grace_s: float | None = None, by: str = "", wait: bool = True) -> Status:
        """Ask for a stop at the next safe point; after the grace, end it."""
        status = self.status()
        if status.state.is_over:
            raise RequestError(f"{self.id} is {status.state} already; there is nothing to stop.")
        grace = self.job().cluster.stop_grace if grace_s is None else grace_s
        asked_by = by or f"process {os.getpid()}"
        self.folder.note("stop_requested", attempt=status.attempt, by=asked_by, grace_s=grace)
        if status.state is State.QUEUED:
            self._withdraw(status, asked_by)
        if not wait:
            return self.status()
        deadline = time.monotonic() + grace + 30
        while time.monotonic() < deadline:
            status = self.status()
            if status.state.is_over:
                return status
            time.sleep(_POLL_S)
        if status.address and status.submission_id:
            http_for(status.address).stop_job(status.submission_id)
        raise OrchestratorError(
            f"{self.id} did not stop within {grace:g} s and 30 s more; it is {status.state}.",
            hint=f"orchestrator logs {self.id}",
        )

    def resume(
        self,
        *,
        place: Place | None = None,
        address: str | None = None,
        code_from: Path | None = None,
        say: Say = print,
        stop: StopSignal | None = None,
    ) -> Status:
        """A further attempt, in the place of the last one unless another is named."""
        status = self.status()
        if not status.state.is_over and status.attempt:
            raise RequestError(
                f"{self.id} is {status.state}; only a run that is over can be resumed.",
                hint=f"orchestrator stop {self.id}",
            )
        if status.state is State.FINISHED:
            raise RequestError(f"{self.id} is finished; there is nothing left to do.")
        attempt = status.attempt + 1
        place = place or Place(status.place or Place.HERE.value)
        http = None
        if place is Place.CLUSTER:
            http = _cluster_to_resume_on(address or status.address)
        if code_from is not None:
            self._take_code(attempt, code_from)
        if http is None:
            self.drive_here(attempt, say=say, stop=stop)
        else:
            self.submit_to(http, attempt)
        return self.status()

    def delete(self) -> None:
        """With its whole folder. One that still waits in a queue is taken out of it first."""
        status = self.status()
        if status.state is State.QUEUED:
            self.stop(by="delete", grace_s=0)
        Archive(self.folder.parent).delete(self.folder)

    def tag(self, add: Sequence[str], remove: Sequence[str] = ()) -> None:
        self.folder.note("tagged", add=list(add), remove=list(remove))

    def note(self, text: str) -> None:
        self.folder.note("noted", text=text)

    def drive_here(
        self,
        attempt: int,
        *,
        say: Say = print,
        stop: StopSignal | None = None,
        ray: str | None = None,
    ) -> Outcome:
        """Be the driver from that attempt on, in this process, with the run's own code.

        `ray` is the address of one on this machine to share; without, it gets one of its own.
        """
        begin = partial(self._record_submission, attempt, place=Place.HERE.value)
        task = Drive(
            run=self.folder,
            attempt=attempt,
            place=Place.HERE,
            code_dir=None,
            echo=say,
            begin=begin,
            ray=ray,
        )
        return drive(task, stop)

    def submit_to(self, http: RayHttp, attempt: int) -> None:
        job = self.job()
        self._record_submission(
            attempt,
            place=Place.CLUSTER.value,
            address=http.address,
            submission_id=submission_id(self.id, attempt),
        )
        try:
            submit_driver(http, self.folder, attempt, job.cluster.stop_grace)
        except NotAccepted as err:
            self.folder.note("failed", attempt=attempt, reason=err.message, blame="cluster")
            raise

    def _record_submission(self, attempt: int, **said: Any) -> None:
        planned = Fingerprint(
            settings=fingerprint(self.job()),
            code=self._code_fingerprint(attempt),
            packages=package_versions(),
        )
        self.folder.note(
            "submitted", attempt=attempt, fingerprint=to_plain(planned), plan=planned.whole, **said
        )

    def _code_fingerprint(self, attempt: int) -> str:
        taken = [
            event.fields["fingerprint"]
            for event in self.events()
            if event.kind == "code_taken" and event.attempt <= attempt
        ]
        return str(taken[-1] if taken else self.folder.lineage()["code"]["fingerprint"])

    def _take_code(self, attempt: int, root: Path) -> None:
        storage = self.folder.storage
        inside = [storage.path().parent] if isinstance(storage, LocalStorage) else []
        tree, findings = read_tree(root, self.job().code, leave_out=inside)
        if findings:
            raise SettingsError([str(finding) for finding in findings])
        storage.write(layout.code_of_attempt(attempt), tree.zip())
        self.folder.note(
            "code_taken", attempt=attempt, fingerprint=tree.fingerprint, root=str(root)
        )

    def _withdraw(self, status: Status, by: str) -> None:
        """A run that waits has no driver to ask: Ray is, or, where none will come, nobody."""
        if status.address and status.submission_id:
            http_for(status.address).stop_job(status.submission_id)
        elif status.attempt == 0:
            self.folder.note("stopped", reason=f"withdrawn by {by} before it was started")


def _cluster_to_resume_on(address: str | None) -> RayHttp:
    """The one that was named or used before; when that is gone, the local one if it is up."""
    local = find_local()
    if address is None or (local is not None and local.address == address):
        if local is None:
            raise ClusterError(
                "No cluster is known for this run.", hint="orchestrator cluster up, or --address."
            )
        return local.http()
    http = http_for(address)
    try:
        http.version()
    except ClusterError:
        if local is None:
            raise
        return local.http()
    return http
