"""One attempt as its driver sees it: a process, its output, its end. Called by the driver.

The process leads a session of its own, so that all that it started ends with it.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cluster.embedded import keep_ray_logs, ray_environment, unwanted
from orchestrator.cluster.outcome import Outcome
from orchestrator.cluster.output import pump
from orchestrator.cluster.place import Place
from orchestrator.cluster.scratch import scratch_folder
from orchestrator.cluster.sessions import end, others_in_session
from orchestrator.cluster.stop import StopSignal
from orchestrator.runs.code import unpack
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.insist import insist
from orchestrator.runs.ledger import Ledger
from orchestrator.settings.bundled import find_job_file
from orchestrator.settings.job import Job


@dataclass(frozen=True, kw_only=True)
class AttemptProcess:
    """From its start to its last word."""

    run: RunFolder
    job: Job
    number: int
    place: Place
    code_dir: Path | None  # the submitted code, where it is unpacked already
    ray: str | None  # the address of one to share
    echo: Callable[[str], None]
    ledger: Ledger
    stop: StopSignal
    is_lost: Callable[[], bool]  # the run became another driver's

    def to_its_end(self) -> Outcome:
        with scratch_folder() as scratch:
            process = self._spawn(scratch)
            was_ended = self._until_end(process)
            outcome = self._last_word()
            if outcome is None:
                outcome = self._without_a_word(process.returncode, was_ended)
            if outcome.state == "failed":
                keep_ray_logs(scratch, self.run, self.number)
        return outcome

    def _spawn(self, scratch: Path) -> subprocess.Popen[bytes]:
        """A session of its own: Ctrl-C in the terminal reaches the driver only, which passes it
        on."""
        code_dir = self.code_dir
        if code_dir is None:
            code_dir = scratch / "code"
            code_dir.mkdir()
            unpack(self.run.code(self.number), code_dir)
        script = find_job_file(self.job.kind, code_dir)
        command = [sys.executable, str(script), "--run", self.run.uri]
        command += ["--attempt", str(self.number), "--place", self.place.value]
        paths = [str(code_dir), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "PYTHONUNBUFFERED": "1",
        }
        for name in unwanted(self.place):
            environment.pop(name, None)
        environment |= ray_environment(self.place, scratch, self.ray)
        return subprocess.Popen(
            command,
            cwd=code_dir,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _until_end(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it had to be ended by us."""
        reading = threading.Thread(
            target=pump, args=(process.stdout, self.run, self.number, self.echo), name="pump"
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
        while process.poll() is None and not self.is_lost():
            if stop.is_asked and deadline == math.inf:
                grace_s = self.job.cluster.stop_grace if stop.grace_s is None else stop.grace_s
                self.ledger.record("stopping", reason=stop.reason, grace_s=grace_s)
                self.echo(f"Stopping at the next safe point ({stop.reason}) …")
                process.send_signal(signal.SIGTERM)
                deadline = time.monotonic() + grace_s
            if stop.is_now or time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _last_word(self) -> Outcome | None:
        for event in reversed(insist(self.run.events)):
            if event.kind == "attempt_ended" and event.attempt == self.number:
                return Outcome.from_plain(event.fields)
        return None

    def _without_a_word(self, returncode: int, was_ended: bool) -> Outcome:
        if returncode < 0:
            self.ledger.record("attempt_killed", signal=signal.Signals(-returncode).name)
        reason = self.stop.reason if self.stop.is_asked else None
        return Outcome.of_exit(returncode, stop_reason=reason, was_ended=was_ended)


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
