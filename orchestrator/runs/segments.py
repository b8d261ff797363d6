"""Streams of lines that only ever grow: events, metrics and logs share this one mechanism.

One writer per file, `<attempt>-<writer>-<segment>.<suffix>`. Where the storage appends (a local
disk), a line is one write to one segment. Where it cannot (an object store), the open segment is
kept in memory and put again as a whole, until it is full and the next one begins.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass, field, replace

from orchestrator.errors import StorageError
from orchestrator.runs.storage import LocalStorage, Storage

SEGMENT_BYTES = 256 * 1024  # of a segment that is put again as a whole
PUT_EVERY_S = 2.0
_NAME = re.compile(r"(\d{4})-(.+)-(\d{4})\.(\w+)")


@dataclass(frozen=True, kw_only=True, order=True)
class SegmentName:
    attempt: int
    writer: str
    segment: int
    suffix: str = "jsonl"

    def __str__(self) -> str:
        return f"{self.attempt:04d}-{self.writer}-{self.segment:04d}.{self.suffix}"

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(attempt=int(match[1]), writer=match[2], segment=int(match[3]), suffix=match[4])


class StreamWriter:
    """Appends whole lines. `append(durable=True)` returns when the line would survive a crash."""

    def __init__(
        self, storage: Storage, folder: str, *, attempt: int, writer: str, suffix: str = "jsonl"
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._name = SegmentName(attempt=attempt, writer=writer, segment=1, suffix=suffix)
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._put_at = 0.0
        self._descriptor: int | None = None
        self._is_closed = False
        if isinstance(storage, LocalStorage):
            self._descriptor = self._open(storage)
        else:
            self._name = self._next_free()

    def append(self, line: bytes, *, durable: bool = False) -> None:
        with self._lock:
            if self._is_closed:  # to put it as a new segment would erase the old one
                raise ValueError(f"{self._folder}/{self._name} is closed")
            if self._descriptor is not None:
                with self._storage.explained(f"{self._folder}/{self._name}"):
                    _write_line(self._descriptor, line + b"\n")
                    if durable:
                        os.fsync(self._descriptor)
                return
            before = len(self._pending)
            self._pending += line + b"\n"
            full = len(self._pending) >= SEGMENT_BYTES
            if durable or full or time.monotonic() - self._put_at >= PUT_EVERY_S:
                try:
                    self._put(full=full)
                except StorageError:
                    if durable:  # told as not written, so it must not turn up later
                        del self._pending[before:]
                    raise

    def flush(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.fsync(self._descriptor)
            elif self._pending and not self._is_closed:
                self._put(full=False)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            with self._lock:
                self._is_closed = True
                if self._descriptor is not None:
                    os.close(self._descriptor)
                    self._descriptor = None

    def _put(self, *, full: bool) -> None:
        self._put_at = time.monotonic()  # a store that does not answer is not asked at every line
        self._storage.write(f"{self._folder}/{self._name}", bytes(self._pending))
        if full:
            self._pending.clear()
            self._name = replace(self._name, segment=self._name.segment + 1)

    def _next_free(self) -> SegmentName:
        """A writer that comes back begins a new segment: the one before cannot be added to."""
        names = [SegmentName.parse(entry.name) for entry in self._storage.list(self._folder)]
        taken = [
            name.segment
            for name in names
            if name is not None and replace(name, segment=1) == self._name
        ]
        return replace(self._name, segment=max(taken, default=0) + 1)

    def _open(self, storage: LocalStorage) -> int:
        path = storage.path(f"{self._folder}/{self._name}")
        with storage.explained(f"{self._folder}/{self._name}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        _cut_torn_line(descriptor)
        return descriptor


@dataclass
class StreamReader:
    """Reads all writers' lines of a folder, and only the new ones at each further call.

    A line without its end is not there yet: it is read once it is whole. A writer that died in the
    middle of a line never finishes it, so the torn line is never read.
    """

    storage: Storage
    folder: str
    suffix: str = "jsonl"
    _offsets: dict[str, int] = field(default_factory=dict)

    def read_new(self) -> list[tuple[SegmentName, bytes]]:
        lines: list[tuple[SegmentName, bytes]] = []
        for entry in self.storage.list(self.folder):
            name = SegmentName.parse(entry.name)
            if name is None or name.suffix != self.suffix:
                continue
            offset = self._offsets.get(entry.name, 0)
            if entry.size_bytes <= offset:
                continue
            data = self.storage.read(f"{self.folder}/{entry.name}", start=offset)
            whole = data.rfind(b"\n") + 1
            self._offsets[entry.name] = offset + whole
            lines += [(name, line) for line in data[:whole].split(b"\n")[:-1]]
        return lines


def _write_line(descriptor: int, data: bytes) -> None:
    """All of it, or (on a full disk) none: a half line in the middle would spoil the next one."""
    before = os.fstat(descriptor).st_size
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        os.ftruncate(descriptor, before)
        raise


def _cut_torn_line(descriptor: int) -> None:
    """A writer that comes back drops the half line that its death left at the end of its file."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    step, end = 64 * 1024, size
    while end > 0:
        start = max(0, end - step)
        cut = os.pread(descriptor, end - start, start).rfind(b"\n")
        if cut >= 0:
            os.ftruncate(descriptor, start + cut + 1)
            return
        end = start
    os.ftruncate(descriptor, 0)
