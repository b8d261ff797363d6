"""Rows of line files: jsonl, whose lines are found byte by byte, and csv, read from the beginning.

`read` calls these for the texts of a span; a row that cannot be read is told by file and place.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

from orchestrator.corpus.text.cells import NotText, find_value, missing_column, text_of
from orchestrator.corpus.text.documents import Texts
from orchestrator.corpus.text.lines import RECORD_BYTES, Block, LineReader, whole_lines
from orchestrator.corpus.text.origin import Origin
from orchestrator.errors import RequestError

_CSV_ROWS = 256  # that are handed on together


def jsonl_texts(reader: LineReader, until: int | None, origin: Origin) -> Iterator[Texts]:
    parse = json.JSONDecoder().decode
    column, replaces = origin.source.column, origin.replaces
    for block in whole_lines(reader.blocks(until), origin):
        texts: list[str] = []
        for number, line in enumerate(block.text.split("\n")):
            if not line or line.isspace():
                continue
            try:
                text = text_of(find_value(parse(line), column), replaces=replaces)
            except (ValueError, RecursionError) as err:
                raise _bad_line(err, line, block, number, origin) from err
            if text is not None:
                texts.append(text)
        yield Texts(items=texts)


def csv_texts(reader: LineReader, origin: Origin) -> Iterator[Texts]:
    """The first row names the columns."""
    csv.field_size_limit(RECORD_BYTES)
    rows = csv.reader(_csv_lines(reader, origin), delimiter=origin.source.delimiter, strict=True)
    column: int | None = None
    num_columns = 0
    texts: list[str] = []
    for row in _checked(rows, origin):
        if column is None:
            if origin.source.column not in row:
                raise missing_column(origin, row)
            column, num_columns = row.index(origin.source.column), len(row)
            continue
        if len(row) != num_columns:
            raise RequestError(
                f"{origin.uri}: the row that ends at line {rows.line_num:,} has {len(row)} fields; "
                f"the first row names {num_columns}.",
                hint=f"Is {origin.key}.delimiter={origin.source.delimiter!r} right? A field that "
                'holds it stands in "…".',
            )
        texts.append(row[column].replace("\r\n", "\n"))
        if len(texts) == _CSV_ROWS:
            yield Texts(items=texts)
            texts = []
    yield Texts(items=texts)


def _csv_lines(reader: LineReader, origin: Origin) -> Iterator[str]:
    for block in whole_lines(reader.blocks(None), origin):
        for line in block.text.split("\n"):
            yield f"{line}\n"


def _checked(rows: Iterator[list[str]], origin: Origin) -> Iterator[list[str]]:
    """All but empty lines. Strict: a quote that never closes would swallow the rest in silence."""
    while True:
        try:
            row = next(rows, None)
        except csv.Error as err:
            line = getattr(rows, "line_num", 0)
            raise RequestError(
                f"{origin.uri}: the row that ends at line {line:,} is not CSV: "
                f"{str(err).partition(' - ')[0]}.",
                hint='A field that begins with " ends with one, and has "" for each inside.',
            ) from err
        if row is None:
            return
        if row:
            yield row


def _bad_line(err: Exception, line: str, block: Block, number: int, origin: Origin) -> RequestError:
    place = f"{origin.uri}: the line at byte {block.offset_of(number):,}"
    if isinstance(err, NotText):
        return RequestError(f"{place} {err}.", hint=f"Set {origin.key}.column.")
    at = err.pos if isinstance(err, json.JSONDecodeError) else 0
    shown = line[max(at - 20, 0) : at + 20]
    reason = err.msg if isinstance(err, json.JSONDecodeError) else str(err)
    return RequestError(
        f"{place} is not JSON: {reason} at character {at + 1:,}, near {shown!r}.",
        hint="Every line of a jsonl file is an object of its own.",
    )
