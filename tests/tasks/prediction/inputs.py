"""Rows written as files of every kind, and what is found in them however they are divided."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from orchestrator.settings.predict import Input, InputKind
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.prediction.asking import Asking
from orchestrator.tasks.prediction.look import Looked, look
from orchestrator.tasks.prediction.rows import InputRow, Rows
from orchestrator.tasks.prediction.spans import (
    Part,
    Span,
    encoding_of,
    input_files,
    numbered,
    parts_of,
    plan_spans,
)

TEXTS = Asking(task=None, labels=Labels(), column="text", taken=("vector",))
Values = dict[str, Any]


def write_file(
    path: Path, kind: InputKind, rows: Sequence[Values], *, encoding: str = "utf-8"
) -> Path:
    """Compressed where its name says so."""
    if kind is InputKind.PARQUET:
        table = pa.Table.from_pylist(list(rows))
        parquet.write_table(table, path, row_group_size=7)
        return path
    text = io.StringIO()
    if kind is InputKind.CSV:
        names = list(rows[0])
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([row[name] for name in names] for row in rows)
    else:
        is_text = kind is InputKind.TEXT
        for row in rows:
            text.write((row["text"] if is_text else json.dumps(row, ensure_ascii=False)) + "\n")
    data = text.getvalue().encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def looked_at(
    settings: Input, size: int, asking: Asking = TEXTS
) -> tuple[list[Looked], list[Span]]:
    """As the job does, one span after another."""
    spans = plan_spans(input_files(settings), encoding_of(settings), size)
    looked = [look(span, settings, asking, size) for span in spans]
    return looked, numbered([one.spans for one in looked])


def parts(settings: Input, size: int, asking: Asking = TEXTS) -> list[Part]:
    return parts_of(looked_at(settings, size, asking)[1], size)


def rows_of(settings: Input, parts: Sequence[Part]) -> list[InputRow]:
    return [row for part in parts for span in part.spans for row in Rows(span, settings)]


def read_back(settings: Input, parts: Sequence[Part]) -> list[Values]:
    return [row.values for row in rows_of(settings, parts)]
