"""Metrics as columns: millions of lines in seconds, and only what is new at each further read.

`MetricTable` follows a run's files by offsets; `columns` gives arrays, by default without the steps
that a later attempt repeated. The dashboard and notebooks use it; a line's form is metrics.py's.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json
from numpy.typing import NDArray

from orchestrator.runs import layout
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.storage import Entry, Storage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PIECES, _PIECE_BYTES = 32, 2**15  # of a file that is only glanced at
_AT_ONCE = 4 * 2**20  # bytes; what a read holds beside the columns is a few times this
_OWN = {"step": pa.int64(), "attempt": pa.int64(), "time": pa.float64(), "tokens": pa.int64()}
# A number may be whole in one block and not in the next: all are read as they are and made floats.
_SCHEMA = pa.schema([pa.field(name, kind) for name, kind in _OWN.items()])


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
        own = {name: getattr(self, name) for name in _OWN}
        return pa.table(own | dict(self.values)).to_pandas()


@dataclass(frozen=True, kw_only=True)
class _Block:
    """Some lines. Values are kept where there are any: most metrics are not in every line."""

    own: Mapping[str, NDArray[Any]]
    values: Mapping[str, tuple[Ints, Floats]]  # name → rows, values


class MetricTable:
    def __init__(self, run: Storage) -> None:
        self._run = run
        self._offsets: dict[str, int] = {}
        self._blocks: list[_Block] = []
        self._names: tuple[str, ...] = ()  # of all metrics so far
        self.num_rows = 0
        self.size_bytes = 0

    @property
    def names(self) -> list[str]:
        return list(self._names)

    def read_new(self) -> int:
        """How many lines came since the last call. A line without its end is not there yet."""
        before = self.num_rows
        for entry in self._files():
            for block in self._parsed(self._new_lines(entry.name, entry.size_bytes)):
                self._add(block)
        return self.num_rows - before

    def unread_bytes(self) -> int:
        return sum(entry.size_bytes - self._offsets.get(entry.name, 0) for entry in self._files())

    def glance(self, names: Sequence[str] | None = None) -> Columns:
        """Some lines out of every part of the files, in a moment. Nothing counts as read by it."""
        some = MetricTable(self._run)
        for entry in self._files():
            if data := b"".join(self._pieces(entry.name, entry.size_bytes)):
                some._add(_block(data, some._names))
        return some.columns(names)

    def columns(self, names: Sequence[str] | None = None, *, repeated: bool = False) -> Columns:
        """Of repeated steps the newest attempt's count; `repeated` gives those before too."""
        own = {name: self._own(name) for name in _OWN}
        order = _order(own["attempt"], own["step"])
        if not repeated:
            kept = is_effective(own["attempt"][order], own["step"][order])
            order = order if kept.all() else np.arange(self.num_rows)[order][kept]
        values = {
            name: self._dense(name)[order] for name in (self.names if names is None else names)
        }
        return Columns(**{name: own[name][order] for name in _OWN}, values=values)

    def _files(self) -> Iterator[Entry]:
        for entry in self._run.list(layout.METRICS):
            name = SegmentName.parse(entry.name)
            if name is not None and name.suffix == "jsonl":
                yield entry

    def _pieces(self, name: str, size: int) -> Iterator[bytes]:
        """Whole lines; its first ones and its last ones are among them. A short file is one piece:
        its few lines may take back those of a long one."""
        is_short = size <= _PIECES * _PIECE_BYTES
        count, piece = (1, size) if is_short else (_PIECES, _PIECE_BYTES)
        for number in range(count):
            start = (size - piece) * number // max(1, count - 1)
            data = self._run.read(f"{layout.METRICS}/{name}", start=start, size=piece)
            begin = data.find(b"\n") + 1 if start else 0
            if end := data.rfind(b"\n", begin) + 1:
                yield data[begin:end]

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

    def _parsed(self, parts: Iterator[bytes]) -> Iterator[_Block]:
        """Two at a time, where there are several: most of the work is Arrow's."""
        first, second = next(parts, b""), next(parts, b"")
        if first:
            yield _block(first, self._names)
        if not second:
            return
        with ThreadPoolExecutor(2) as pool:
            waiting = deque([pool.submit(_block, second, self._names)])
            for data in parts:
                waiting.append(pool.submit(_block, data, self._names))
                if len(waiting) > 2:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _add(self, block: _Block) -> None:
        self._blocks.append(block)
        if not block.values.keys() <= set(self._names):
            self._names = tuple(sorted({*self._names, *block.values}))
        self.num_rows += len(block.own["step"])
        arrays = [*block.own.values(), *(one for pair in block.values.values() for one in pair)]
        self.size_bytes += sum({id(array): array.nbytes for array in arrays}.values())
        if len(self._blocks) > 1 and len(self._blocks[-2].own["step"]) < 4096:
            self._blocks[-2:] = [_joined(self._blocks[-2:])]  # live runs grow by a line at a time

    def _own(self, name: str) -> NDArray[Any]:
        kind = np.float64 if name == "time" else np.int64
        parts = [block.own[name] for block in self._blocks]
        return np.concatenate(parts) if parts else np.empty(0, kind)

    def _dense(self, name: str) -> Floats:
        column = np.full(self.num_rows, np.nan)
        begin = 0
        for block in self._blocks:
            count = len(block.own["step"])
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


def _joined(blocks: Sequence[_Block]) -> _Block:
    own = {name: np.concatenate([block.own[name] for block in blocks]) for name in _OWN}
    parts: dict[str, list[tuple[Ints, Floats]]] = defaultdict(list)
    begin = 0
    for block in blocks:
        for name, (rows, values) in block.values.items():
            parts[name].append((rows + begin, values))
        begin += len(block.own["step"])
    joined = {
        name: (np.concatenate([pair[0] for pair in pairs]), np.concatenate([p[1] for p in pairs]))
        for name, pairs in parts.items()
    }
    return _Block(own=own, values=joined)


def _block(data: bytes, known: Sequence[str]) -> _Block:
    """Of metrics that are known to be numbers Arrow need not find that out."""
    values = pa.field("values", pa.struct([(name, pa.float64()) for name in known]))
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(data)),
            parse_options=arrow_json.ParseOptions(
                explicit_schema=_SCHEMA.append(values) if known else _SCHEMA
            ),
        )
        if any(name not in table.column_names or table[name].null_count for name in _OWN):
            raise pa.ArrowInvalid("a line without a step")
        return _of_table(table)
    except pa.ArrowInvalid:
        return _line_by_line(data)


def _of_table(table: Any) -> _Block:
    own = {name: _numbers(table[name])[0] for name in _OWN}
    every = np.arange(table.num_rows)
    values: dict[str, tuple[Ints, Floats]] = {}
    if "values" in table.column_names and pa.types.is_struct(table["values"].type):
        for name, column in zip(
            [field.name for field in table["values"].type], table["values"].flatten(), strict=True
        ):
            if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
                continue
            floats, rows = _numbers(column.cast(pa.float64(), safe=False))
            if rows is None:  # as of most: one array of row numbers does for all of those
                values[name] = every, floats
            elif len(rows):
                values[name] = rows, floats[rows]
    return _Block(own=own, values=values)


def _numbers(column: Any) -> tuple[NDArray[Any], Ints | None]:
    """And the rows that have one, unless all have. Arrow's own way there imports pandas first."""
    array = column.combine_chunks()
    validity, data = array.buffers()
    kind = np.float64 if pa.types.is_floating(array.type) else np.int64
    here = slice(array.offset, array.offset + len(array))
    values = np.frombuffer(data, kind)[here]
    if not array.null_count:
        return values, None
    bits = np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")
    return values, np.flatnonzero(bits[here])


def _line_by_line(data: bytes) -> _Block:
    """Slower, and bytes that a disk lost cost their own line only."""
    own: dict[str, list[Any]] = {name: [] for name in _OWN}
    values: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for line in data.splitlines():
        try:
            plain = json.loads(line)
            mine = {name: float(plain[name]) for name in _OWN}
            found = dict(plain["values"])
        except (ValueError, KeyError, TypeError):
            continue
        row = len(own["step"])
        for name in _OWN:
            own[name].append(mine[name])
        for name, value in found.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values[name][0].append(row)
                values[name][1].append(value)
    kinds = {name: np.float64 if name == "time" else np.int64 for name in _OWN}
    return _Block(
        own={name: np.array(own[name], kinds[name]) for name in _OWN},
        values={name: (np.array(r, np.int64), np.array(v)) for name, (r, v) in values.items()},
    )
