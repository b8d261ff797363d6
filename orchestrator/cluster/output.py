"""An attempt's output lines: the log keeps them all, people are spared what Ray says to itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO

from orchestrator.errors import StorageError
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.insist import insist
from orchestrator.runs.segments import StreamWriter
from orchestrator.settings.secrets import mask, secret_values

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREFIX = re.compile(r"^\((?:(?P<actor>[^()]+) )?pid=\w+(?:, ip=[\d.]+)?\) ?")
# Actors of Ray Train's own machinery; what they mean for a run is told by the run's events.
_RAYS_OWN = ("TrainController", "PlacementGroupCleaner", "TrainStateActor", "PreemptionWatcher")
_CORE = re.compile(
    r"^(?:trial \d+ \| )?(?:\[\d{4}-\d\d-\d\d [\d:,.]+ [A-Z] \d+ \d+\]"
    r"|[\d-]+ [\d:,]+\t(INFO|WARNING) "
    r"|\[[\d-]+ [\d:,]+\] \[WARNING\] \[real_accelerator.py:)"  # DeepSpeed finds no GPU
)


def plain(line: str) -> str:
    """Without colour codes: what is written to the run's log."""
    return _COLOURS.sub("", line)


def for_people(line: str) -> str | None:
    """A log line as a person wants it, or None for Ray's own chatter."""
    match = _PREFIX.match(line)
    if line.startswith(("(raylet)", "(raylet,")) or (match and match["actor"] in _RAYS_OWN):
        return None
    said = line[match.end() :] if match else line
    return None if _CORE.match(said) or said.startswith("Setting up process group") else said


def pump(output: IO[bytes], run: RunFolder, attempt: int, echo: Callable[[str], None]) -> None:
    """Lines of the attempt → the run's log and whoever listens, without secrets.

    It reads on whatever happens: the attempt would block on a pipe that nobody empties.
    """
    hidden = secret_values()
    log = _Log(run, attempt, echo)
    with output:
        for raw in output:
            line = mask(plain(raw.decode(errors="replace").rstrip("\n")), hidden)
            echo(line)
            log.write(line)
    log.close()


class _Log:
    """The run's log; says once when the storage does not take it."""

    def __init__(self, run: RunFolder, attempt: int, echo: Callable[[str], None]) -> None:
        self._run = run
        self._attempt = attempt
        self._echo = echo
        self._stream: StreamWriter | None = None
        self._is_told = False

    def write(self, line: str) -> None:
        try:
            if self._stream is None:
                self._stream = StreamWriter(
                    self._run.storage,
                    layout.LOGS,
                    attempt=self._attempt,
                    writer="driver",
                    suffix="log",
                )
            self._stream.append(line.encode())
            self._is_told = False
        except StorageError as err:
            self._tell(err)

    def close(self) -> None:
        try:
            if self._stream is not None:
                insist(self._stream.flush)
                self._stream.close()
        except StorageError as err:
            self._tell(err)

    def _tell(self, err: StorageError) -> None:
        if not self._is_told:
            self._echo(f"orchestrator: lines are missing in the run's log: {err.message}")
            self._is_told = True
