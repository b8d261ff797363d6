"""The driver: holds the run's lease, starts attempts as processes, writes down how they end.

It imports neither Ray nor torch, so a crash of either leaves somebody to tell the tale.
"""

from __future__ import annotations

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
from typing import IO

from orchestrator.cluster.embedded import keep_ray_logs, ray_environment, unwanted
from orchestrator.cluster.outcome import Outcome
from orchestrator.cluster.output import plain
from orchestrator.cluster.place import Place
from orchestrator.cluster.scratch import scratch_folder
from orchestrator.cluster.sessions import end, others_in_session
from orchestrator.cluster.stop import StopSignal, stop_on_signals
from orchestrator.errors import OrchestratorError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.code import unpack
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.hooks import tell
from orchestrator.runs.lease import RENEW_EVERY_S, Lease, LeaseLost
from orchestrator.runs.ledger import Ledger, LedgerReader
from orchestrator.runs.segments import StreamWriter
from orchestrator.settings.bundled import find_job_file
from orchestrator.settings.job import Job
from orchestrator.settings.secrets import mask, secret_values

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
    task.begin()
    ledger = Ledger(task.run.storage, attempt=task.attempt, writer="driver")
    job = task.run.job()
    with stop_on_signals(stop):
        ledger.record(
            "attempt_started", place=task.place.value, host=socket.gethostname(), pid=os.getpid()
        )
        watch = _Watch(task.run, lease, stop, task.attempt)
        watch.start()
        try:
            outcome = _attempt(task, job, ledger, stop, watch)
        finally:
            watch.end()
        if watch.lost is not None:
            raise watch.lost
        if outcome.state == "stopped" and stop.reason not in outcome.reason:
            outcome = replace(outcome, reason=stop.reason)  # the attempt saw only a signal
        _tell_end(task, job, ledger, outcome)
    ledger.close()
    lease.release()
    return outcome


def _attempt(task: Drive, job: Job, ledger: Ledger, stop: StopSignal, watch: _Watch) -> Outcome:
    with scratch_folder() as scratch:
        process = _spawn(task, job, scratch)
        returncode = _until_end(process, task, job, ledger, stop, watch)
        outcome = _last_word(task)
        if outcome is None:
            reason = stop.reason if stop.is_asked else None
            if returncode < 0:
                ledger.record("attempt_killed", signal=signal.Signals(-returncode).name)
            outcome = Outcome.of_exit(returncode, stop_reason=reason)
        if outcome.state == "failed":
            keep_ray_logs(scratch, task.run, task.attempt)
    return outcome


def _until_end(
    process: subprocess.Popen[bytes],
    task: Drive,
    job: Job,
    ledger: Ledger,
    stop: StopSignal,
    watch: _Watch,
) -> int:
    pump = threading.Thread(target=_pump, args=(process.stdout, task), name="pump")
    pump.start()
    try:
        _wait(process, job, ledger, stop, watch)
    finally:
        _end_session(process)
        pump.join(timeout=10)
    return process.returncode


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


def _wait(
    process: subprocess.Popen[bytes], job: Job, ledger: Ledger, stop: StopSignal, watch: _Watch
) -> None:
    """Until the attempt ends. A stop is passed on; after its grace, or a second one, we leave."""
    deadline: float | None = None
    while process.poll() is None:
        if watch.lost is not None:
            return
        if stop.is_asked and deadline is None:
            grace_s = job.cluster.stop_grace if stop.grace_s is None else stop.grace_s
            ledger.record("stopping", reason=stop.reason, grace_s=grace_s)
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + grace_s
        if deadline is not None and (stop.is_now or time.monotonic() > deadline):
            return
        time.sleep(0.05)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """The attempt and all that it started: an embedded Ray's processes are in its session."""
    others = others_in_session(process.pid)
    if process.poll() is None:
        process.kill()
    process.wait()
    end(others, grace_s=1)  # Ray's own processes need a moment to see that their head is gone
    assert process.stdin is not None
    process.stdin.close()


def _pump(output: IO[bytes], task: Drive) -> None:
    """Lines of the attempt → the run's log and whoever listens, without secrets."""
    hidden = secret_values()
    log = StreamWriter(
        task.run.storage, layout.LOGS, attempt=task.attempt, writer="driver", suffix="log"
    )
    with output:
        for raw in output:
            line = mask(plain(raw.decode(errors="replace").rstrip("\n")), hidden)
            task.echo(line)
            try:
                log.append(line.encode())
            except StorageError as err:  # the attempt must not block on a pipe nobody empties
                task.echo(f"orchestrator: this line is not in the run's log: {err.message}")
    try:
        log.close()
    except StorageError as err:
        task.echo(f"orchestrator: the log's end is missing: {err.message}")


def _last_word(task: Drive) -> Outcome | None:
    for event in reversed(task.run.events()):
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
    ledger.record(outcome.state, **said)
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
            except OrchestratorError as err:
                # The storage may be away for a while; the run goes on, and we try again.
                print(f"orchestrator: {err.message}", file=sys.stderr)

    def end(self) -> None:
        self._over.set()
        self.join(timeout=30)
