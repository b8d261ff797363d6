"""The forwarder, as whoever starts it sees it. Drivers call `start_forwarder`; no wandb here.

A forwarder that ends before its time is started again, later and later: each goes on where W&B is.
Nothing that happens to it is an error of the run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import psutil

from orchestrator.settings.build import to_plain
from orchestrator.settings.tracking import Mode, Tracking
from orchestrator.tracking.wandb.credentials import mode_here

_NICE = 10
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 600.0
# Exit codes. REFUSED: a key that is not there, nothing that another try would change soon. BUSY:
# the forwarder of a driver that died is still sending what it saw.
COMPLETE, TRY_AGAIN, REFUSED, BUSY = 0, 1, 2, 3
_STEADY_S = 120.0  # one that lived as long is not the last one's failure again
_LAST_WAIT_S = 0.5  # between tries when the run is over


@dataclass(kw_only=True)
class Forwarder:
    """Use `start_forwarder`."""

    command: list[str]
    first_wait_s: float = _FIRST_WAIT_S
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _is_complete: bool = False
    _deadline: float = 0.0

    def start(self) -> None:
        threading.Thread(target=self._keep, daemon=True, name="wandb").start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def end(self, grace_s: float) -> bool:
        """Call it once the run's last word is written. Whether all of the run is in W&B; what is
        not can be sent later, by `orchestrator wandb sync`. Returns within the grace."""
        with self._lock:
            self._deadline = time.monotonic() + grace_s
            self._ending.set()
            self._close_stdin()
        if not self._is_over.wait(max(0.0, grace_s)):
            with self._lock:
                self._kill()
        return self._is_complete

    def _keep(self) -> None:
        wait_s = self.first_wait_s
        while True:
            began = time.monotonic()
            code = self._run_one()
            if self._ending.is_set():
                self._is_complete = code == COMPLETE
                if code in (COMPLETE, REFUSED) or time.monotonic() >= self._deadline:
                    self._is_over.set()
                    return
            if time.monotonic() - began > _STEADY_S:
                wait_s = self.first_wait_s
            if self._ending.wait(_LONGEST_WAIT_S if code == REFUSED else wait_s):
                if code == REFUSED:
                    self._is_over.set()
                    return
                time.sleep(_LAST_WAIT_S)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _run_one(self) -> int:
        with self._lock:
            if self._ending.is_set() and time.monotonic() >= self._deadline:
                return 1
            try:
                process = self._process = self._spawn()
            except OSError as err:  # no memory, no process left: the run has worse to worry about
                print(f"orchestrator: the W&B forwarder does not start: {err}", file=sys.stderr)
                return 1
            if self._ending.is_set():
                self._close_stdin()
        code = process.wait()
        with self._lock:
            self._close_stdin()
        return code

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _close_stdin(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _kill(self) -> None:
        """wandb-core leads a session of its own, so it is ended by its parentage."""
        if self._process is None or self._process.poll() is not None:
            return
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)


def start_forwarder(
    run_uri: str, tracking: Tracking, environ: Mapping[str, str] = os.environ
) -> Forwarder | None:
    """None where tracking is off."""
    mode = mode_here(tracking.mode, environ)
    if mode is Mode.OFF:
        return None
    command = forward_command(run_uri, replace(tracking, mode=mode), "--nice", str(_NICE))
    forwarder = Forwarder(command=command)
    forwarder.start()
    return forwarder


def forward_command(run_uri: str, tracking: Tracking, *more: str) -> list[str]:
    settings = json.dumps(to_plain(tracking))
    module = [sys.executable, "-m", "orchestrator.tracking.wandb"]
    return [*module, "--run", run_uri, "--tracking", settings, *more]
