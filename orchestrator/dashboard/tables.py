"""Metrics of the runs that are looked at: read once, then line by line, and forgotten when large.

Several threads ask at once: one reads a run's files, the others wait for it. Who only wants to see
a curve need not: of a long run a glance is given, while it is read.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from orchestrator.runs.folder import RunFolder
from orchestrator.tracking.table import Columns, MetricTable

_ROOM_BYTES = 128 * 2**20
_LONG_BYTES = 4 * 2**20  # unread, of a run of some ten thousand steps
_ASIDE_S = 0.3  # what a page asks for beside its first question is answered first


@dataclass
class _Held:
    table: MetricTable
    lock: threading.Lock = field(default_factory=threading.Lock)
    columns: dict[tuple[str, ...], Columns] = field(default_factory=dict)
    reading: Future[None] | None = None


class Tables:
    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._room_bytes = room_bytes
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    def close(self) -> None:
        self._readers.shutdown(cancel_futures=True)

    def glance(self, run: RunFolder, names: Sequence[str] | None = None) -> Columns | None:
        """Some lines of a run that is long and not read yet; it is from here on. Else nothing."""
        held = self._of(run)
        is_long = not held.table.num_rows and held.table.unread_bytes() >= _LONG_BYTES
        with self._lock:
            if held.reading is None and is_long:
                held.reading = self._readers.submit(self._read, run, time.monotonic())
            if held.reading is None or held.reading.done():
                return None
        return held.table.glance(names)

    def columns(self, run: RunFolder, names: Sequence[str], *, repeated: bool = False) -> Columns:
        """Up to date. The same names again cost nothing while no line came."""
        held = self._of(run)
        key = (*names, "repeated" if repeated else "")
        with held.lock:
            if held.table.read_new():
                held.columns.clear()
            if key not in held.columns:
                held.columns[key] = held.table.columns(names, repeated=repeated)
            columns = held.columns[key]
        self._make_room()
        return columns

    def names(self, run: RunFolder) -> list[str]:
        held = self._of(run)
        with held.lock:
            if held.table.read_new():
                held.columns.clear()
            return held.table.names

    def _read(self, run: RunFolder, asked: float) -> None:
        time.sleep(max(0.0, asked + _ASIDE_S - time.monotonic()))
        self.columns(run, ())

    def _of(self, run: RunFolder) -> _Held:
        with self._lock:
            if run.uri not in self._held:  # ids of trials are those of other sweeps too
                self._held[run.uri] = _Held(MetricTable(run.storage))
            self._held.move_to_end(run.uri)
            return self._held[run.uri]

    def _make_room(self) -> None:
        """The newest stays whatever its size."""
        with self._lock:
            while len(self._held) > 1 and self._size() > self._room_bytes:
                self._held.popitem(last=False)

    def _size(self) -> int:
        return sum(_size(held) for held in list(self._held.values()))


def _size(held: _Held) -> int:
    views = sum(
        len(columns) * 8 * (4 + len(columns.values)) for columns in list(held.columns.values())
    )
    return held.table.size_bytes + views
