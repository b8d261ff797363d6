"""Lines of metrics as columns of numbers: what table.py holds of a file's part.

Nearly all lines of a run have the keys of the line before. With commas for its
colons and closing braces it is CSV: key, number, key, number, … That Arrow reads in half the time
of JSON, and the keys are read too: a line with others is left to the next round, with its own keys.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

OWN = {"step": np.int64, "attempt": np.int64, "time": np.float64, "tokens": np.int64}
_ROUNDS = 6  # kinds of lines in a part, the most frequent first; the rest one by one
_COMMAS, _DROPPED = bytes.maketrans(b":}", b",,"), b'"{'
_KEY = pa.dictionary(pa.int32(), pa.string())


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some lines. Values are kept where there are any: most metrics are not in every line."""

    own: Mapping[str, NDArray[Any]]
    values: Mapping[str, tuple[Ints, Floats]]  # name → rows in their order, values

    def __len__(self) -> int:
        return len(self.own["step"])

    @property
    def size_bytes(self) -> int:
        arrays = [*self.own.values(), *(one for pair in self.values.values() for one in pair)]
        return sum({id(array): array.nbytes for array in arrays}.values())


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Whole lines of a file, where each begins and ends, and how many commas it has."""

    data: bytes
    begins: Ints
    ends: Ints
    commas: Ints

    @classmethod
    def of(cls, data: bytes) -> _Part:
        characters = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(characters == ord("\n"))
        before = np.searchsorted(np.flatnonzero(characters == ord(",")), ends)
        begins = np.concatenate([[0], ends[:-1] + 1])
        return cls(data=data, begins=begins, ends=ends, commas=np.diff(before, prepend=0))

    def line(self, number: int) -> bytes:
        return self.data[self.begins[number] : self.ends[number]]

    def text(self, lines: Ints) -> bytes:
        """Neighbours are copied together."""
        if len(lines) == len(self.ends):
            return self.data
        gaps = np.flatnonzero(np.diff(lines) > 1)
        begins = self.begins[lines[np.concatenate([[0], gaps + 1])]].tolist()
        ends = (self.ends[lines[np.concatenate([gaps, [len(lines) - 1]])]] + 1).tolist()
        return b"".join(self.data[a:b] for a, b in zip(begins, ends, strict=True))


def block_of(data: bytes) -> Block:
    """Of whole lines. What is no line of metrics is left out."""
    part = _Part.of(data)
    left, rest = np.arange(len(part.ends)), []
    parts: list[tuple[Ints, Block]] = []  # with the number of each line
    for _ in range(_ROUNDS):
        if not len(left):
            break
        commas = part.commas[left]
        likely = left[commas == np.bincount(commas).argmax()]
        left = np.setdiff1d(left, likely, assume_unique=True)
        found = _as_csv(part, likely)
        if found is None:
            rest.append(likely)
            continue
        parts.append(found)
        if len(found[0]) < len(likely):
            left = np.union1d(left, np.setdiff1d(likely, found[0], assume_unique=True))
    if len(rest) or len(left):
        parts.append(_one_by_one(part, np.sort(np.concatenate([*rest, left]))))
    return parts[0][1] if len(parts) == 1 else _in_order(parts)


def joined(blocks: Sequence[Block]) -> Block:
    begins = np.cumsum([0, *(len(block) for block in blocks)])
    return _in_order(
        [(np.arange(len(block)) + at, block) for at, block in zip(begins, blocks, strict=False)]
    )


def _in_order(parts: Sequence[tuple[Ints, Block]]) -> Block:
    """One block of several, by the numbers that their lines have."""
    order = np.argsort(np.concatenate([lines for lines, _ in parts]), kind="stable")
    every = np.arange(len(order))
    row = np.empty_like(order)
    row[order] = every
    found: dict[str, list[tuple[Ints, Floats]]] = defaultdict(list)
    begin = 0
    for _, block in parts:
        for name, (rows, floats) in block.values.items():
            found[name].append((row[begin + rows], floats))
        begin += len(block)
    own = {name: np.concatenate([block.own[name] for _, block in parts])[order] for name in OWN}
    return Block(own=own, values={name: _by_row(pairs, every) for name, pairs in found.items()})


def _by_row(pairs: Sequence[tuple[Ints, Floats]], every: Ints) -> tuple[Ints, Floats]:
    rows = np.concatenate([pair[0] for pair in pairs])
    floats = np.concatenate([pair[1] for pair in pairs])
    if len(rows) < len(every):
        order = np.argsort(rows)
        return rows[order], floats[order]
    ordered = np.empty_like(floats)
    ordered[rows] = floats
    return every, ordered


def _fields(line: bytes) -> list[str] | None:
    """A line as CSV; nothing if that would not say what its JSON says."""
    try:
        plain = json.loads(line)
        names = list(plain["values"])
        numbers = [*(plain[name] for name in OWN), *plain["values"].values()]
        fields = line.translate(_COMMAS, _DROPPED).decode().split(",")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    keys = [field.strip(" ") for at, field in enumerate(fields[:-2]) if _is_key(at)]
    is_plain = keys == [*OWN, "values", *names] and len(fields) == len(keys) + len(numbers) + 2
    return fields if names and is_plain and not any(isinstance(n, str) for n in numbers) else None


def _is_key(at: int) -> bool:
    return at % 2 == 0 if at < 9 else at % 2 == 1


def _as_csv(part: _Part, lines: Ints) -> tuple[Ints, Block] | None:
    """Those of the lines that have the keys of the first; nothing if they are not plain numbers."""
    fields = _fields(part.line(lines[0]))
    if fields is None:
        return None
    columns = [str(at) for at in range(len(fields) - 2)]  # after them the two braces
    kinds = {name: _KEY if _is_key(int(name)) else pa.float64() for name in columns}
    kinds |= {name: pa.int64() for name in ("1", "3", "7")}
    text = part.text(lines)
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(text.translate(_COMMAS, _DROPPED)),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=len(text) + 1, column_names=[*columns, "}", "}}"]
            ),
            parse_options=arrow_csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=arrow_csv.ConvertOptions(
                column_types=kinds, include_columns=columns, null_values=["null", " null"]
            ),
        )
    except pa.ArrowInvalid:  # a word where a number should be, another number of keys, lost bytes
        return None
    if table.num_rows != len(lines):
        return None  # a carriage return where a disk lost bytes: lines cannot be told apart
    same = _same_keys(table, fields)
    if not same.all():
        table, lines = table.filter(pa.array(same)), lines[same]
    own = {name: table[at].to_numpy() for name, at in zip(OWN, (1, 3, 5, 7), strict=True)}
    if any(table[at].null_count for at in (1, 3, 5, 7)):
        return None
    every = np.arange(len(lines))  # one for all metrics that each of the lines has
    values: dict[str, tuple[Ints, Floats]] = {}
    for at in range(10, len(columns), 2):
        floats = table[at].to_numpy()
        rows = np.flatnonzero(~np.isnan(floats)) if table[at].null_count else every
        values[fields[at - 1].strip(" ")] = rows, floats[rows] if rows is not every else floats
    return lines, Block(
        own=own, values={name: pair for name, pair in values.items() if len(pair[0])}
    )


def _same_keys(table: Any, fields: Sequence[str]) -> NDArray[np.bool_]:
    same = np.ones(table.num_rows, bool)
    for at in range(table.num_columns):
        if not _is_key(at):
            continue
        for part in table[at].chunks:
            found = part.dictionary.to_pylist()
            if found != [fields[at]]:
                is_it = np.array([key == fields[at] for key in found], bool)
                same &= is_it[part.indices.to_numpy()]
    return same


def _one_by_one(part: _Part, lines: Ints) -> tuple[Ints, Block]:
    """Ten times slower, and bytes that a disk lost cost their own line only."""
    taken: list[int] = []
    own: dict[str, list[Any]] = {name: [] for name in OWN}
    values: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for number in lines.tolist():
        try:
            plain = json.loads(part.line(number))
            mine = {name: float(plain[name]) for name in OWN}
            found = dict(plain["values"])
        except (ValueError, KeyError, TypeError):
            continue
        for name in OWN:
            own[name].append(mine[name])
        for name, value in found.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values[name][0].append(len(taken))
                values[name][1].append(value)
        taken.append(number)
    block = Block(
        own={name: np.array(own[name], kind) for name, kind in OWN.items()},
        values={
            name: (np.array(r, np.int64), np.array(v, float)) for name, (r, v) in values.items()
        },
    )
    return np.array(taken, np.int64), block
