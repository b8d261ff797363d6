"""How far a run is, as one small file that its driver overwrites: for bars and for dashboards."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.storage import Storage

_EVERY_S = {True: 0.5, False: 5.0}  # local disk, object store


@dataclass(frozen=True, kw_only=True)
class Progress:
    stage: str
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    time: float = 0.0


class ProgressWriter:
    """Call it as often as you like; it writes as often as the storage bears."""

    def __init__(self, run: Storage) -> None:
        self._run = run
        self._written = 0.0
        self._stage = ""

    def show(
        self, stage: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        now = time.monotonic()
        if stage == self._stage and now - self._written < _EVERY_S[self._run.is_local]:
            return
        self._stage, self._written = stage, now
        progress = Progress(stage=stage, done=done, total=total, unit=unit, time=time.time())
        with suppress(StorageError):  # the next one will do; progress must never hurt a run
            self._run.write(layout.PROGRESS, json.dumps(asdict(progress)).encode())


def read_progress(run: Storage) -> Progress | None:
    """None where there is none, or none that can be read."""
    try:
        return Progress(**json.loads(run.read(layout.PROGRESS)))
    except (NotFoundError, ValueError, TypeError):
        return None
