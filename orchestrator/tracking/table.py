"""Metrics as columns: millions of lines in seconds, and only what is new at each further read.

`MetricTable` follows a run's files by offsets; `columns` gives arrays, by default without the steps
that a later attempt repeated. The dashboard and notebooks use it; a line's form is metrics.py's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.runs import layout
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.storage import Storage
from orchestrator.tracking.blocks import OWN, Block, Floats, Ints, block_of, joined

_AT_ONCE = 4 * 2**20  # bytes; what a read holds beside the columns is a few times this


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Rows ordered by attempt and step; a metric that a row does not have is NaN there."""

    step: Ints
    attempt: Ints
    time: Floats
    tokens: Ints
    values: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.step)

    def to_pandas(self) -> Any:
        own = {name: getattr(self, name) for name in OWN}
        return pa.table(own | dict(self.values)).to_pandas()


class MetricTable:
    def __init__(self, run: Storage) -> None:
        self._run = run
        self._offsets: dict[str, int] = {}
        self._blocks: list[Block] = []
        self._names: tuple[str, ...] = ()  # of all metrics so far
        self.num_rows = 0
        self.size_bytes = 0

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def read_new(self) -> int:
        """How many lines came since the last call. A line without its end is not there yet."""
        before = self.num_rows
        for entry in self._run.list(layout.METRICS):
            name = SegmentName.parse(entry.name)
            if name is None or name.suffix != "jsonl":
                continue
            for block in self._parsed(self._new_lines(entry.name, entry.size_bytes)):
                self._add(block)
        return self.num_rows - before

    def columns(self, names: Sequence[str] | None = None, *, repeated: bool = False) -> Columns:
        """Of repeated steps the newest attempt's count; `repeated` gives those before too."""
        own = {name: self._own(name) for name in OWN}
        order = _order(own["attempt"], own["step"])
        if not repeated:
            kept = is_effective(own["attempt"][order], own["step"][order])
            order = order if kept.all() else np.arange(self.num_rows)[order][kept]
        values = {
            name: self._dense(name)[order] for name in (self.names if names is None else names)
        }
        return Columns(**{name: own[name][order] for name in OWN}, values=values)

    def _new_lines(self, name: str, size: int) -> Iterator[bytes]:
        path, at_once = f"{layout.METRICS}/{name}", _AT_ONCE
        while (offset := self._offsets.get(name, 0)) < size:
            data = self._run.read(path, start=offset, size=min(at_once, size - offset))
            whole = data.rfind(b"\n") + 1
            if whole:
                self._offsets[name] = offset + whole
                yield data[:whole]
            elif len(data) < at_once:
                return
            else:
                at_once *= 2

    def _parsed(self, parts: Iterator[bytes]) -> Iterator[Block]:
        """Two at a time, where there are several: most of the work is Arrow's."""
        first, second = next(parts, b""), next(parts, b"")
        if not second:
            if first:
                yield block_of(first)
            return
        with ThreadPoolExecutor(2) as pool:
            waiting = deque(pool.submit(block_of, data) for data in (first, second))
            for data in parts:
                waiting.append(pool.submit(block_of, data))
                if len(waiting) > 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _add(self, block: Block) -> None:
        self._blocks.append(block)
        if not block.values.keys() <= set(self._names):
            self._names = tuple(sorted({*self._names, *block.values}))
        self.num_rows += len(block)
        self.size_bytes += block.size_bytes
        if len(self._blocks) > 1 and len(self._blocks[-2]) < 4096:
            self._blocks[-2:] = [joined(self._blocks[-2:])]  # live runs grow by a line at a time

    def _own(self, name: str) -> NDArray[Any]:
        kind = np.float64 if name == "time" else np.int64
        parts = [block.own[name] for block in self._blocks]
        return np.concatenate(parts) if parts else np.empty(0, kind)

    def _dense(self, name: str) -> Floats:
        column = np.full(self.num_rows, np.nan)
        begin = 0
        for block in self._blocks:
            count = len(block)
            if name in block.values:
                rows, values = block.values[name]
                if len(values) == count:
                    column[begin : begin + count] = values
                else:
                    column[begin + rows] = values
            begin += count
        return column


def _order(attempt: Ints, step: Ints) -> slice | Ints:
    """By attempt and step. As a rule they lie in that order, and nothing has to be moved."""
    later, same = attempt[1:] > attempt[:-1], attempt[1:] == attempt[:-1]
    if np.all(later | (same & (step[1:] >= step[:-1]))):
        return slice(None)
    return np.lexsort((step, attempt))


def is_effective(attempt: Ints, step: Ints) -> NDArray[np.bool_]:
    """Which rows count: a later attempt that begins at step s replaces what was done from s on."""
    kept = np.ones(len(step), bool)
    begins: int | None = None
    for number in sorted(set(attempt.tolist()), reverse=True):
        of_this = attempt == number
        if begins is not None:
            kept[of_this & (step >= begins)] = False
        first = int(step[of_this].min())
        begins = first if begins is None else min(begins, first)
    return kept
