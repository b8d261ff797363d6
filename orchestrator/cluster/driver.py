"""The driver: holds the run's lease, starts attempts as processes, writes down how they end, and
tries again where that can help.

It imports neither Ray nor torch, so a crash of either leaves somebody to tell the tale. Beside the
attempts it keeps a forwarder, which shows the run's figures in W&B (showing.py).
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.cluster.outcome import Outcome
from orchestrator.cluster.place import Place
from orchestrator.cluster.process import AttemptProcess
from orchestrator.cluster.recovery import Decision, Try, decide, try_of
from orchestrator.cluster.showing import Showing
from orchestrator.cluster.stop import StopSignal, stop_on_signals
from orchestrator.errors import OrchestratorError
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.hooks import tell
from orchestrator.runs.insist import insist
from orchestrator.runs.lease import RENEW_EVERY_S, Lease, LeaseLost
from orchestrator.runs.ledger import Event, Ledger, LedgerReader
from orchestrator.settings.job import Job
from orchestrator.settings.secrets import mask
from orchestrator.tracking.progress import read_progress

_LOOK_EVERY_S = 1.0  # for a stop request in the folder
_STEPS = "steps"  # the unit in which training shows its progress


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What one `drive` needs to know."""

    run: RunFolder
    attempt: int  # the first; further ones get the numbers after it
    place: Place
    code_dir: Path | None  # the submitted code, where it is unpacked already, as Ray Jobs does
    echo: Callable[[str], None]  # gets every line of the attempts' output
    begin: Callable[[], object] = lambda: None  # called once the run is surely this driver's
    ray: str | None = None  # address of a Ray of this machine's to share; None: one of its own


def drive(task: Drive, stop: StopSignal | None = None) -> Outcome:
    """Run to the end, with as many attempts as that takes. Refused (RequestError) while another
    driver has the run."""
    stop = stop or StopSignal()
    lease = Lease.acquire(task.run.storage)
    watch = _Watch(task.run, lease, stop, task.attempt)
    showing = Showing(task.run, task.echo, since=task.attempt)
    try:
        task.begin()
        with stop_on_signals(stop):
            job = task.run.job()
            showing.begin(job.tracking)
            watch.hears.append(showing.hear)
            watch.start()
            return _Driving(task=task, job=job, stop=stop, watch=watch).to_the_end()
    finally:
        watch.end()
        try:
            if watch.lost is None:
                insist(lease.release)
        finally:
            showing.end(is_ours=watch.lost is None)


@dataclass(frozen=True, kw_only=True)
class _Driving:
    """The story of a run, by whoever holds the lease."""

    task: Drive
    job: Job
    stop: StopSignal
    watch: _Watch
    tries: list[Try] = field(default_factory=list)

    def to_the_end(self) -> Outcome:
        for number in itertools.count(self.task.attempt):
            ledger = Ledger(self.task.run.storage, attempt=number, writer="driver")
            began = time.time()
            outcome = self._attempt(number, ledger)
            decision = self._decision(number, outcome, began)
            if decision is not None and decision.again:
                self._wait(number, ledger, outcome, decision)
                if not self.stop.is_asked:
                    ledger.close()
                    continue
                outcome = Outcome.stopped(f"{self.stop.reason}; before its next attempt")
            elif decision is not None:
                outcome = _given_up(outcome, decision)
            self._tell_end(ledger, outcome, decision)
            ledger.close()
            return outcome
        raise AssertionError("attempts have no last number")

    def _attempt(self, number: int, ledger: Ledger) -> Outcome:
        task = self.task
        ledger.record(
            "attempt_started", place=task.place.value, host=socket.gethostname(), pid=os.getpid()
        )
        process = AttemptProcess(
            run=task.run,
            job=self.job,
            number=number,
            place=task.place,
            code_dir=task.code_dir,
            ray=task.ray,
            echo=task.echo,
            ledger=ledger,
            stop=self.stop,
            is_lost=lambda: self.watch.lost is not None,
        )
        outcome = process.to_its_end()
        if self.watch.lost is not None:
            raise self.watch.lost
        if outcome.state == "resized" and self.stop.is_asked:
            return Outcome.stopped(self.stop.reason)
        if outcome.state == "stopped" and self.stop.reason not in outcome.reason:
            return replace(outcome, reason=self.stop.reason)  # the attempt saw only a signal
        return outcome

    def _decision(self, number: int, outcome: Outcome, began: float) -> Decision | None:
        """None where there is nothing to decide."""
        if outcome.state in ("finished", "stopped") or self.stop.is_asked:
            return None
        run = self.task.run
        progress = insist(lambda: read_progress(run.storage))
        is_own = progress is not None and progress.unit == _STEPS and progress.time >= began
        reached = int(progress.done) if progress is not None and is_own else None
        self.tries.append(try_of(insist(run.events), number, outcome.cause, reached))
        return decide(self.tries, self.job.recovery)

    def _wait(self, number: int, ledger: Ledger, outcome: Outcome, decision: Decision) -> None:
        """Until the next attempt is due, or somebody asks for a stop."""
        said = {
            "cause": outcome.cause.value,
            "reason": mask(f"{outcome.reason}\n{decision.reason}"),
            "wait_s": decision.wait_s,
            "next_attempt": number + 1,
        }
        insist(lambda: ledger.record("recovering", **said))
        failed = "" if outcome.state == "resized" else " failed"
        self.task.echo(f"Attempt {number}{failed}: {mask(outcome.reason)}\n{decision.reason}")
        until = time.monotonic() + decision.wait_s
        while (left := until - time.monotonic()) > 0 and not self.stop.wait(min(left, 0.2)):
            if self.watch.lost is not None:
                raise self.watch.lost

    def _tell_end(self, ledger: Ledger, outcome: Outcome, decision: Decision | None) -> None:
        run = self.task.run
        said = {
            "reason": mask(outcome.reason),
            "blame": outcome.cause.blame,
            "cause": outcome.cause.value,
            "hint": outcome.hint.replace("RUN", run.id),
            "is_spent": outcome.is_spent,
        }
        why_not = {} if decision is None or decision.again else {"decision": decision.reason}
        insist(lambda: ledger.record(outcome.state, **said, **why_not))
        ending = {"schema": "orchestrator.ending/1", "run": run.id, "state": outcome.state, **said}
        for facts in tell(self.job.notify, ending | {"uri": run.uri, "job": self.job.kind}):
            ledger.record("notified", **facts)


def _given_up(outcome: Outcome, decision: Decision) -> Outcome:
    """What a run ends as when its last attempt ended so and no other follows."""
    outcome = replace(outcome, state="failed", hint=outcome.hint or "orchestrator resume RUN")
    if not decision.is_spent:
        return outcome
    return replace(outcome, reason=f"{outcome.reason}\n{decision.reason}", is_spent=True)


class _Watch(threading.Thread):
    """Renews the lease, and looks into the folder for a stop request, while attempts run."""

    def __init__(self, run: RunFolder, lease: Lease, stop: StopSignal, attempt: int) -> None:
        super().__init__(name="lease", daemon=True)
        self._run_folder = run
        self._lease = lease
        self._stop_signal = stop
        self._attempt = attempt
        self._over = threading.Event()
        self.lost: LeaseLost | None = None
        self.hears: list[Callable[[Event], None]] = []  # get every event

    def run(self) -> None:
        reader = LedgerReader(self._run_folder.storage)
        renewed = time.monotonic()
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                for event in reader.read_new():
                    for hear in self.hears:
                        hear(event)
                    if event.kind == "stop_requested" and event.attempt >= self._attempt:
                        self._stop_signal.ask(
                            f"asked for by {event.fields.get('by', 'somebody')}",
                            grace_s=event.fields.get("grace_s"),
                        )
                if time.monotonic() - renewed >= RENEW_EVERY_S:
                    self._lease.renew()
                    renewed = time.monotonic()
            except LeaseLost as err:
                self.lost = err
                return
            except (OrchestratorError, OSError) as err:
                # The storage may be away for a while; the run goes on, and we try again.
                print(f"orchestrator: {err}", file=sys.stderr)

    def end(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join(timeout=30)
