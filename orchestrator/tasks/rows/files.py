"""Rows of csv and jsonl files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence

from orchestrator.errors import RequestError
from orchestrator.settings.task import Data
from orchestrator.tasks.example import Row, Where
from orchestrator.tasks.rows.stored import split_texts

_FIELD_CHARS = 2**28


def csv_rows(data: Data, split: str) -> Iterator[Row]:
    """The first row names the columns."""
    csv.field_size_limit(_FIELD_CHARS)
    for file, text in split_texts(data, split):
        lines = (f"{line}\n" for line in text.split("\n"))
        rows = csv.reader(
            lines,
            delimiter=data.delimiter,
            quoting=csv.QUOTE_MINIMAL if data.quotes else csv.QUOTE_NONE,
            strict=data.quotes,
        )
        names: list[str] | None = None
        line = 1  # where the row begins: one in quotes may have several lines
        try:
            for row in rows:
                begin, line = line, rows.line_num + 1
                if not row:
                    continue
                if names is None:
                    names = row
                    refuse_twice(names, file)
                    continue
                if len(row) != len(names):
                    raise RequestError(
                        f"{file}, line {begin:,} has {len(row)} fields; the first row names "
                        f"{len(names)}.",
                        hint=f"Is task.data.delimiter={data.delimiter!r} right, and "
                        f"task.data.quotes={str(data.quotes).lower()}?",
                    )
                yield Row(dict(zip(names, row, strict=True)), Where(file, begin))
        except csv.Error as err:
            raise RequestError(
                f"{file}, line {line:,} is not CSV: {str(err).partition(' - ')[0]}.",
                hint="Where quotes are characters like others: task.data.quotes=false.",
            ) from err


def refuse_twice(names: Sequence[str], file: str) -> None:
    if len(set(names)) < len(names):
        raise RequestError(f"{file}: its first row names a column twice: {', '.join(names)}.")


def jsonl_rows(data: Data, split: str) -> Iterator[Row]:
    for file, text in split_texts(data, split):
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            where = Where(file, number)
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as err:
                raise RequestError(f"{where} is not JSON: {err}.") from err
            if not isinstance(values, dict):
                raise RequestError(
                    f"{where} is no object.", hint="Every line of a jsonl file is an object."
                )
            yield Row(values, where)
