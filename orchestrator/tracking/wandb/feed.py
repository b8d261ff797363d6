"""Rows of a run, numbered the same for every forwarder there ever is.

Several processes write metrics at once, so which line comes first is settled when they are read.
That order is written down, durable, before a row of it is sent: `{ends, rows}` for each reading,
with the byte up to which each file was read, and how many rows there are by then. A later
forwarder reads the same bytes in the same order, and gets the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.segments import SegmentName, StreamReader, StreamWriter
from orchestrator.runs.storage import Storage
from orchestrator.tracking.wandb import places
from orchestrator.tracking.wandb.projection import Projection, Row

_AT_ONCE = 1 << 20  # bytes of a file in one reading
_LOST: Row = {"lost": 1}  # stands for a row whose line a disk lost after it had been read


@dataclass(kw_only=True)
class Feed:
    """Use `replay` to its end first, then `read_new` again and again."""

    run: Storage
    num_rows: int = 0
    _ends: dict[str, int] = field(default_factory=dict)
    _projection: Projection = field(default_factory=Projection)
    _order: StreamWriter | None = None

    def replay(self) -> Iterator[Row]:
        """All rows that were ever numbered."""
        bytes_of = _Bytes(self.run)
        for _, line in StreamReader(self.run, places.ORDER).read_new():
            ends, num_rows = _reading(self.run, line)
            rows = list(self._rows(bytes_of, ends))[: num_rows - self.num_rows]
            rows += [_LOST] * (num_rows - self.num_rows - len(rows))
            self.num_rows = num_rows
            yield from rows

    def read_new(self) -> list[Row]:
        """Rows that came since; their order is durable when this returns. Empty: nothing new."""
        rows: list[Row] = []
        while not rows:
            bytes_of = _Bytes(self.run)
            ends = self._new_ends(bytes_of)
            if not ends:
                break
            rows = list(self._rows(bytes_of, ends))
            self.num_rows += len(rows)
            self._write_down(ends)
        return rows

    def close(self) -> None:
        if self._order is not None:
            self._order.close()

    def _new_ends(self, bytes_of: _Bytes) -> dict[str, int]:
        ends: dict[str, int] = {}
        for entry in self.run.list(layout.METRICS):
            name, start = SegmentName.parse(entry.name), self._ends.get(entry.name, 0)
            if name is None or name.suffix != "jsonl" or entry.size_bytes <= start:
                continue
            end = bytes_of.end_of_lines(entry.name, start, min(entry.size_bytes, start + _AT_ONCE))
            if end > start:
                ends[entry.name] = end
        return ends

    def _write_down(self, ends: dict[str, int]) -> None:
        if self._order is None:
            self._order = StreamWriter(self.run, places.ORDER, attempt=1, writer="forwarder")
        reading = json.dumps({"ends": ends, "rows": self.num_rows})
        self._order.append(reading.encode(), durable=True)

    def _rows(self, bytes_of: _Bytes, ends: dict[str, int]) -> Iterator[Row]:
        for name, end in sorted(ends.items()):
            start = self._ends.get(name, 0)
            self._ends[name] = max(start, end)
            for line in bytes_of.read(name, start, end).split(b"\n")[:-1]:
                row = self._projection.row(line)
                if row is not None:
                    yield row


def num_bytes_read(run: Storage) -> int:
    """Of metrics, by all forwarders so far."""
    ends: dict[str, int] = {}
    for _, line in StreamReader(run, places.ORDER).read_new():
        ends |= _reading(run, line)[0]
    return sum(ends.values())


@dataclass(kw_only=True)
class _Window:
    start: int
    data: bytes


class _Bytes:
    """Parts of files, read ahead: a replay asks for many small ones, one after another."""

    def __init__(self, run: Storage) -> None:
        self._run = run
        self._windows: dict[str, _Window] = {}

    def read(self, name: str, start: int, end: int) -> bytes:
        window = self._windows.get(name)
        if window is None or start < window.start or end > window.start + len(window.data):
            size = max(end - start, _AT_ONCE)
            data = self._run.read(f"{layout.METRICS}/{name}", start=start, size=size)
            window = self._windows[name] = _Window(start=start, data=data)
        return window.data[start - window.start : end - window.start]

    def end_of_lines(self, name: str, start: int, end: int) -> int:
        """Up to the last whole line; a line longer than one reading is given up."""
        data = self.read(name, start, end)
        whole = data.rfind(b"\n") + 1
        return start + (len(data) if not whole and len(data) >= _AT_ONCE else whole)


def _reading(run: Storage, line: bytes) -> tuple[dict[str, int], int]:
    try:
        plain = json.loads(line)
        return {str(name): int(end) for name, end in plain["ends"].items()}, int(plain["rows"])
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise OrchestratorError(
            f"{run.uri}/{places.ORDER} is damaged: {line[:60]!r} is no reading of metrics.",
            hint="Delete the W&B run and the run's folder wandb/; then `orchestrator wandb sync`.",
        ) from err
