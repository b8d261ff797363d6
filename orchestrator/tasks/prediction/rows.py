"""The rows of a span, one by one with all their fields; one that cannot be read says why.

Nothing is held but the row at hand. A look at the input and the tasks that answer it both read so.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from orchestrator.corpus.text.files import locate
from orchestrator.corpus.text.lines import RECORD_BYTES
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.streams import (
    is_compressed,
    is_divisible,
    stored_chunks,
    transcoded,
    whole_chunks,
)
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Source, SourceKind, Undecodable
from orchestrator.settings.predict import Input, InputKind, OnBad
from orchestrator.tasks.prediction.spans import Span, encoding_of
from orchestrator.tasks.rows.files import refuse_twice
from orchestrator.tasks.rows.tables import plain_rows

_BATCH_ROWS = 1024
_READ_BYTES = 2**23  # of a parquet column, in place of all of its row group
_ESCAPED = re.compile("[\udc80-\udcff]")  # a byte that is none of the encoding's


@dataclass(frozen=True, slots=True)
class InputRow:
    values: dict[str, Any]
    line: int  # of its file, from 1; rows of parquet
    next_line: int
    next_at: int  # where the next one begins, as spans count
    problem: str = ""

    def where(self, span: Span) -> str:
        unit = "row" if span.kind is InputKind.PARQUET else "line"
        return f"{span.uri}, {unit} {self.line:,}"


class Rows:
    """Of a span. Lines without anything in them are passed over."""

    def __init__(self, span: Span, settings: Input) -> None:
        self._span = span
        self._settings = settings
        self._lines = Lines(span, settings)

    def __iter__(self) -> Iterator[InputRow]:
        if self._span.kind is InputKind.PARQUET:
            return _parquet_rows(self._span)
        return _READERS[self._span.kind](self._lines, self._span, self._settings)

    @property
    def num_lines(self) -> int:
        """So far."""
        return self._lines.number - self._span.first_line + 1


def csv_header(span: Span, settings: Input) -> tuple[str, ...]:
    """Of the file that the span is in. RequestError where it names a column twice."""
    rows = _csv_reader(iter(Lines(span, settings)), span, settings)
    names = tuple(next((row for row in rows if row), []))
    refuse_twice(names, span.uri)
    return names


class Lines:
    """The lines that begin in a span, decoded, without their ends."""

    def __init__(self, span: Span, settings: Input) -> None:
        self._span = span
        self._encoding = encoding_of(settings)
        self._replaces = settings.on_bad is OnBad.SKIP
        self.number = span.first_line - 1  # of the last line that was given out
        self.next_at = 0

    def __iter__(self) -> Iterator[str]:
        begin, end = self._span.begin, self._span.end
        chunks, encoding = self._chunks(max(begin - 1, 0))
        at = max(begin - 1, 0)
        is_inside = begin > 0  # of a line that is another span's
        for line in _lines(chunks, self._span.uri):
            if end is not None and at >= end and not is_inside:
                return
            at += len(line)
            if is_inside:
                is_inside = False
                continue
            self.number += 1
            self.next_at = at
            text = line.decode(encoding, "surrogateescape").removesuffix("\n").removesuffix("\r")
            yield text.removeprefix("\ufeff") if at == len(line) else text

    def row(self, values: dict[str, Any], line: int, problem: str) -> InputRow:
        """That ends with the line given out last."""
        return InputRow(values, line, self.number + 1, self.next_at, problem)

    def _chunks(self, begin: int) -> tuple[Iterator[bytes], str]:
        uri, encoding = self._span.uri, self._encoding
        bad = Undecodable.REPLACE if self._replaces else Undecodable.ERROR
        source = Source(
            kind=SourceKind.TEXT, path=(uri,), encoding=encoding, undecodable=bad
        )  # fmt: skip
        origin = Origin(name="input", source=source, uri=uri)
        if not is_divisible(encoding):
            whole = _explained(transcoded(whole_chunks(origin, _unmetered), origin))
            return _without(whole, begin), "utf-8"
        if is_compressed(uri):
            return _without(whole_chunks(origin, _unmetered), begin), encoding
        return stored_chunks(origin, begin, self._span.end, _unmetered), encoding


def _unmetered(num_bytes: int) -> None:
    """Progress is told in rows."""


def _explained(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except RequestError as err:
        if not isinstance(err.__cause__, UnicodeError):
            raise
        hint = "Give the encoding that the file is in: input.encoding=utf-8, latin-1, …"
        raise RequestError(err.message, hint=hint) from err


def _without(chunks: Iterator[bytes], num_bytes: int) -> Iterator[bytes]:
    """What comes behind so many bytes."""
    for chunk in chunks:
        if num_bytes < len(chunk):
            yield chunk[num_bytes:]
        num_bytes = max(num_bytes - len(chunk), 0)


def _lines(chunks: Iterator[bytes], uri: str) -> Iterator[bytes]:
    """With their ends; the last may have none."""
    held: list[bytes] = []
    num_bytes = 0
    for chunk in chunks:
        lines = chunk.splitlines(keepends=True) if b"\r" not in chunk else _split(chunk)
        for line in lines:
            if not line.endswith(b"\n"):
                held.append(line)
                num_bytes += len(line)
            elif held:
                yield b"".join([*held, line])
                held, num_bytes = [], 0
            else:
                yield line
        if num_bytes > RECORD_BYTES:
            raise RequestError(
                f"{uri} has a line of more than {RECORD_BYTES:,} bytes, which is the limit of a "
                "row.",
                hint="Is input.kind right, with a row on each line?",
            )
    if held:
        yield b"".join(held)


def _split(chunk: bytes) -> list[bytes]:
    """`splitlines` would end lines at a \\r as well."""
    lines = [line + b"\n" for line in chunk.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _text_rows(lines: Lines, span: Span, settings: Input) -> Iterator[InputRow]:
    for text in lines:
        if text and not text.isspace():
            yield lines.row({"text": text}, lines.number, _problem(text, settings))


def _jsonl_rows(lines: Lines, span: Span, settings: Input) -> Iterator[InputRow]:
    parse = json.JSONDecoder().decode
    for text in lines:
        if not text or text.isspace():
            continue
        values: Any = {}
        problem = _problem(text, settings)
        try:
            values = parse(text)
        except json.JSONDecodeError as err:
            problem = problem or f"is not JSON: {err.msg} at character {err.pos + 1:,}."
        except (ValueError, RecursionError) as err:
            problem = problem or f"is not JSON: {err}."
        if not isinstance(values, dict):
            values, problem = {}, problem or "is no object, as every line of a jsonl file is."
        yield lines.row(values, lines.number, problem)


def _csv_rows(lines: Lines, span: Span, settings: Input) -> Iterator[InputRow]:
    """The first row of a file names the columns."""
    rows = _csv_reader(iter(lines), span, settings)
    names: list[str] | None = list(span.header) or None
    while True:
        begin = lines.number + 1
        row: list[str] = []
        problem = ""
        try:
            found = next(rows, None)
            if found is None:
                return
            row = found
        except csv.Error as err:
            problem = f"is not CSV: {str(err).partition(' - ')[0]}."
            if "unexpected end" in problem:
                raise RequestError(
                    f"{span.uri}, line {begin:,}: a field begins with a quote and never ends.",
                    hint="Where quotes are characters like others: input.quotes=false.",
                ) from err
        if names is None and not problem:
            names = row or None
        elif row or problem:
            if not problem and len(row) != len(names or ()):
                problem = f"has {len(row)} fields; the first row names {len(names or ())}."
            problem = problem or _problem("\x1f".join(row), settings)
            values = dict(zip(names or (), row, strict=False))
            yield lines.row(values, begin, problem)


def _csv_reader(lines: Iterator[str], span: Span, settings: Input) -> Any:
    csv.field_size_limit(RECORD_BYTES)
    return csv.reader(
        (f"{line}\n" for line in lines),
        delimiter=settings.delimiter_of(span.uri),
        quoting=csv.QUOTE_MINIMAL if settings.quotes else csv.QUOTE_NONE,
        strict=settings.quotes,
    )


def _parquet_rows(span: Span) -> Iterator[InputRow]:
    storage, name = locate(span.uri)
    try:
        with (
            storage.open_file(name) as stored,
            parquet.ParquetFile(stored, buffer_size=_READ_BYTES) as file,
        ):
            first = 0
            for group in range(file.metadata.num_row_groups):
                num_rows = file.metadata.row_group(group).num_rows
                if first < (span.end or first + 1) and first + num_rows > span.begin:
                    yield from _group_rows(file, group, first, span)
                first += num_rows
    except (pa.ArrowException, OSError) as err:
        reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
        raise RequestError(f"{span.uri} cannot be read as parquet: {reason}.") from err


def _group_rows(file: Any, group: int, first: int, span: Span) -> Iterator[InputRow]:
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], use_threads=False):
        begin = max(span.begin - first, 0)
        size = min(len(batch), (span.end or first + len(batch)) - first) - begin
        if size > 0:
            numbers = range(first + begin, first + begin + size)
            for number, (values, problem) in zip(
                numbers, plain_rows(batch.slice(begin, size)), strict=True
            ):
                yield InputRow(values, number + 1, number + 2, number + 1, problem)
        first += len(batch)


def _problem(text: str, settings: Input) -> str:
    if text.isascii() or (found := _ESCAPED.search(text)) is None:
        return ""
    byte = ord(found[0]) - 0xDC00
    return f"has the byte 0x{byte:02x} at character {found.start() + 1:,}, which is not " + (
        f"{encoding_of(settings)}."
    )


_READERS: dict[InputKind, Callable[[Lines, Span, Input], Iterator[InputRow]]] = {
    InputKind.TEXT: _text_rows,
    InputKind.JSONL: _jsonl_rows,
    InputKind.CSV: _csv_rows,
}
