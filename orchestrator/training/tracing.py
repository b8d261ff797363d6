"""A trace of some steps of rank 0, by torch's profiler, into the run's folder on request."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import profiler

from orchestrator.runs import layout
from orchestrator.settings.compute import Profile
from orchestrator.training.port import WorkerPort


class Tracing:
    """Told of each step; does nothing where none is asked for."""

    def __init__(self, port: WorkerPort, profile: Profile) -> None:
        self._port = port
        self._first, self._last = profile.steps or (0, 0)
        self._is_on = bool(profile.steps) and port.rank == 0
        self._open: Any = None

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        if self._is_on and number == self._first:
            self._open = profiler.profile(record_shapes=True, profile_memory=True)
            self._open.__enter__()
        yield
        if self._open is not None and number >= self._last:
            self._close()

    def _close(self) -> None:
        self._open.__exit__(None, None, None)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json.gz"
            self._open.export_chrome_trace(str(path))
            name = layout.trace(self._first, self._last, self._port.attempt)
            self._port.run.write(name, path.read_bytes())
        print(f"trace of steps {self._first} to {self._last}: {self._port.run.uri_of(name)}")
        self._port.note("traced", file=name)
        self._open = None
