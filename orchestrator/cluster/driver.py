"""The driver: holds the run's lease, starts attempts as processes, writes down how they end.

It imports neither Ray nor torch, so a crash of either leaves somebody to tell the tale.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.cluster.embedded import keep_ray_logs, ray_environment, unwanted
from orchestrator.cluster.outcome import Outcome
from orchestrator.cluster.output import pump
from orchestrator.cluster.place import Place
from orchestrator.cluster.scratch import scratch_folder
from orchestrator.cluster.sessions import end, others_in_session
from orchestrator.cluster.stop import StopSignal, stop_on_signals
from orchestrator.errors import OrchestratorError
from orchestrator.runs.code import unpack
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.hooks import tell
from orchestrator.runs.insist import insist
from orchestrator.runs.lease import RENEW_EVERY_S, Lease, LeaseLost
from orchestrator.runs.ledger import Ledger, LedgerReader
from orchestrator.settings.bundled import find_job_file
from orchestrator.settings.job import Job
from orchestrator.settings.secrets import mask

_LOOK_EVERY_S = 1.0  # for a stop request in the folder


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What one `drive` needs to know."""

    run: RunFolder
    attempt: int
    place: Place
    code_dir: Path | None  # the submitted code, where it is unpacked already, as Ray Jobs does
    echo: Callable[[str], None]  # gets every line of the attempt's output
    begin: Callable[[], object] = lambda: None  # called once the run is surely this driver's


def drive(task: Drive, stop: StopSignal | None = None) -> Outcome:
    """Run one attempt to its end. Refused (RequestError) while another driver has the run."""
    stop = stop or StopSignal()
    lease = Lease.acquire(task.run.storage)
    watch = _Watch(task.run, lease, stop, task.attempt)
    try:
        task.begin()
        with stop_on_signals(stop):
            return _drive(task, stop, watch)
    finally:
        watch.end()
        if watch.lost is None:
            insist(lease.release)


def _drive(task: Drive, stop: StopSignal, watch: _Watch) -> Outcome:
    """The story of one attempt, by whoever holds the lease."""
    ledger = Ledger(task.run.storage, attempt=task.attempt, writer="driver")
    job = task.run.job()
    ledger.record(
        "attempt_started", place=task.place.value, host=socket.gethostname(), pid=os.getpid()
    )
    watch.start()
    attempt = _Attempt(task=task, job=job, ledger=ledger, stop=stop, watch=watch)
    outcome = attempt.run()
    if watch.lost is not None:
        raise watch.lost
    if outcome.state == "stopped" and stop.reason not in outcome.reason:
        outcome = replace(outcome, reason=stop.reason)  # the attempt saw only a signal
    _tell_end(task, job, ledger, outcome)
    ledger.close()
    return outcome


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    """One attempt's process, from its start to its last word."""

    task: Drive
    job: Job
    ledger: Ledger
    stop: StopSignal
    watch: _Watch

    def run(self) -> Outcome:
        with scratch_folder() as scratch:
            process = _spawn(self.task, self.job, scratch)
            was_ended = self._until_end(process)
            outcome = _last_word(self.task)
            if outcome is None:
                outcome = self._without_a_word(process.returncode, was_ended)
            if outcome.state == "failed":
                keep_ray_logs(scratch, self.task.run, self.task.attempt)
        return outcome

    def _until_end(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it had to be ended by us."""
        task = self.task
        reading = threading.Thread(
            target=pump, args=(process.stdout, task.run, task.attempt, task.echo), name="pump"
        )
        reading.start()
        try:
            self._wait(process)
        finally:
            was_ended = _end_session(process)
            reading.join(timeout=150)
        return was_ended

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """A stop is passed on; after its grace, or a second one, nobody waits any more."""
        stop, deadline = self.stop, math.inf
        while process.poll() is None and self.watch.lost is None:
            if stop.is_asked and deadline == math.inf:
                grace_s = self.job.cluster.stop_grace if stop.grace_s is None else stop.grace_s
                self.ledger.record("stopping", reason=stop.reason, grace_s=grace_s)
                self.task.echo(f"Stopping at the next safe point ({stop.reason}) …")
                process.send_signal(signal.SIGTERM)
                deadline = time.monotonic() + grace_s
            if stop.is_now or time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _without_a_word(self, returncode: int, was_ended: bool) -> Outcome:
        if returncode < 0:
            self.ledger.record("attempt_killed", signal=signal.Signals(-returncode).name)
        reason = self.stop.reason if self.stop.is_asked else None
        return Outcome.of_exit(returncode, stop_reason=reason, was_ended=was_ended)


def _spawn(task: Drive, job: Job, scratch: Path) -> subprocess.Popen[bytes]:
    """A session of its own: Ctrl-C in the terminal reaches the driver only, which passes it on."""
    code_dir = task.code_dir
    if code_dir is None:
        code_dir = scratch / "code"
        code_dir.mkdir()
        unpack(task.run.code(task.attempt), code_dir)
    script = find_job_file(job.kind, code_dir)
    command = [sys.executable, str(script), "--run", task.run.uri]
    command += ["--attempt", str(task.attempt), "--place", task.place.value]
    paths = [str(code_dir), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUNBUFFERED": "1",
        **ray_environment(task.place, scratch),
    }
    for name in unwanted(task.place):
        environment.pop(name, None)
    return subprocess.Popen(
        command,
        cwd=code_dir,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _end_session(process: subprocess.Popen[bytes]) -> bool:
    """The attempt and all that it started: an embedded Ray's processes are in its session.

    Whether the attempt itself was still there to be ended.
    """
    others = others_in_session(process.pid)
    lives = process.poll() is None
    if lives:
        process.kill()
    process.wait()
    end(others, grace_s=1)  # Ray's own processes need a moment to see that their head is gone
    assert process.stdin is not None
    process.stdin.close()
    return lives


def _last_word(task: Drive) -> Outcome | None:
    for event in reversed(insist(task.run.events)):
        if event.kind == "attempt_ended" and event.attempt == task.attempt:
            return Outcome.from_plain(event.fields)
    return None


def _tell_end(task: Drive, job: Job, ledger: Ledger, outcome: Outcome) -> None:
    said = {
        "reason": mask(outcome.reason),
        "blame": outcome.cause.blame,
        "cause": outcome.cause.value,
        "hint": outcome.hint.replace("RUN", task.run.id),
    }
    insist(lambda: ledger.record(outcome.state, **said))
    ending = {"schema": "orchestrator.ending/1", "run": task.run.id, "state": outcome.state, **said}
    for facts in tell(job.notify, ending | {"uri": task.run.uri, "job": job.kind}):
        ledger.record("notified", **facts)


class _Watch(threading.Thread):
    """Renews the lease, and looks into the folder for a stop request, while an attempt runs."""

    def __init__(self, run: RunFolder, lease: Lease, stop: StopSignal, attempt: int) -> None:
        super().__init__(name="lease", daemon=True)
        self._run_folder = run
        self._lease = lease
        self._stop_signal = stop
        self._attempt = attempt
        self._over = threading.Event()
        self.lost: LeaseLost | None = None

    def run(self) -> None:
        reader = LedgerReader(self._run_folder.storage)
        renewed = time.monotonic()
        while not self._over.wait(_LOOK_EVERY_S):
            try:
                for event in reader.read_new():
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
