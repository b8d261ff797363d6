"""Sentences of column files, as CoNLL's: a word a line, an empty line between sentences.

Columns are named by their numbers from 1: `columns: {words: "1", tags: "4"}`. Each is the list of
its cells in a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import RequestError
from orchestrator.settings.task import Data
from orchestrator.tasks.example import Row, Where
from orchestrator.tasks.rows.stored import split_texts

_DOCUMENT = "-DOCSTART-"


def column_rows(data: Data, split: str) -> Iterator[Row]:
    for file, text in split_texts(data, split):
        cells: list[list[str]] = []
        begin = 1
        for number, line in enumerate([*text.split("\n"), ""], 1):
            fields = line.split("\t") if "\t" in line else line.split()
            if fields and fields[0] != _DOCUMENT:
                if not cells:
                    begin = number
                elif len(fields) != len(cells[0]):
                    raise RequestError(
                        f"{file}, line {number:,} has {len(fields)} columns; the sentence began "
                        f"with {len(cells[0])}."
                    )
                cells.append(fields)
            elif cells:
                columns = {
                    str(place): list(column)
                    for place, column in enumerate(zip(*cells, strict=True), 1)
                }
                yield Row(columns, Where(file, begin))
                cells = []
