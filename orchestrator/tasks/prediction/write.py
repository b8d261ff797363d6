"""Rows with their answers into a file, whole or not at all; and parts of such files into one.

Parts are written as their joined file will be, but for what stands once at its beginning: the
header of csv, the shape of npy.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy
from pyarrow import parquet

from orchestrator.corpus.text.files import locate
from orchestrator.errors import RequestError
from orchestrator.runs.storage import Storage
from orchestrator.runs.writer import FileWriter
from orchestrator.settings.predict import OutputKind
from orchestrator.tasks.prediction.columns import cell, clean, json_text

_CLAIMED = "prediction/claimed"  # the output that the run has begun to write
_CHUNK_BYTES = 2**22
_GROUP_ROWS, _GROUP_BYTES = 2**17, 2**26  # of a joined parquet file

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Form:
    """Of the files of one output."""

    kind: OutputKind
    schema: Any  # of Arrow; of csv the names alone count, of jsonl nothing
    vector: str  # the column of vectors, where there is one
    width: int  # of a vector
    is_joined: bool  # later, out of parts

    @property
    def suffix(self) -> str:
        """Of a part: vectors that will be joined have no header yet."""
        return "f32" if self.kind is OutputKind.NPY and self.is_joined else self.kind.value


Write = Callable[[Rows], None]


@contextmanager
def open_file(uri: str) -> Iterator[FileWriter]:
    """Kept when all went well."""
    storage, name = locate(uri)
    file = storage.open_writer(name)
    try:
        yield file
    except BaseException:
        file.abandon()
        raise
    file.close()


def write_rows(uri: str, form: Form, chunks: Iterable[Rows]) -> None:
    """One part."""
    with open_file(uri) as file, _WRITERS[form.kind](file, form) as write:
        for rows in chunks:
            write(rows)


def claim(run: Storage, target: str) -> None:
    """From here on the output is this run's, whatever attempt writes it; what somebody else put
    there since the plan was made is not written over.
    """
    storage, name = locate(target)
    if not run.exists(_CLAIMED):
        if storage.exists(name):
            raise RequestError(
                f"output.path={target} is there by now, and this run has not written it; "
                "nothing is written over.",
                hint="Move it away and resume this run: its answers are kept.",
            )
        run.write(_CLAIMED, target.encode())


def join(storage: Storage, parts: Sequence[str], target: str, form: Form) -> None:
    """Parts, by their names in a storage, in this order."""
    with open_file(target) as file:
        if form.kind is OutputKind.PARQUET:
            _join_tables(storage, parts, file, form.schema)
            return
        if form.kind is OutputKind.CSV:
            file.write(_csv_line(form.schema.names))
        if form.kind is OutputKind.NPY:
            num_bytes = sum(storage.size(part) for part in parts)
            file.write(_npy_header(num_bytes // (4 * form.width), form.width))
        for part in parts:
            size = storage.size(part)
            for begin in range(0, size, _CHUNK_BYTES):
                file.write(storage.read(part, start=begin, size=_CHUNK_BYTES))


@contextmanager
def _jsonl(file: FileWriter, form: Form) -> Iterator[Write]:
    def write(rows: Rows) -> None:
        file.write("".join(f"{json_text(_plain(row))}\n" for row in rows).encode())

    yield write


@contextmanager
def _csv(file: FileWriter, form: Form) -> Iterator[Write]:
    names = form.schema.names

    def write(rows: Rows) -> None:
        text = io.StringIO()
        cells = ([_csv_cell(row.get(name)) for name in names] for row in rows)
        csv.writer(text, lineterminator="\n").writerows(cells)
        file.write(text.getvalue().encode())

    if not form.is_joined:
        file.write(_csv_line(names))
    yield write


@contextmanager
def _parquet(file: FileWriter, form: Form) -> Iterator[Write]:
    with _open_table(file, form.schema) as writer:

        def write(rows: Rows) -> None:
            arrays = [
                pa.array([cell(row.get(field.name), field.type) for row in rows], field.type)
                for field in form.schema
            ]
            writer.write_table(pa.table(arrays, schema=form.schema))

        yield write


@contextmanager
def _npy(file: FileWriter, form: Form) -> Iterator[Write]:
    """Rows that have no vector get one of NaN."""
    empty_D = np.full(form.width, np.nan, np.float32)
    held: list[bytes] = []  # of a part that has its own header

    def write(rows: Rows) -> None:
        vectors = (row.get(form.vector) for row in rows)
        stacked_ED = np.stack([empty_D if vector is None else vector for vector in vectors])
        data = stacked_ED.astype("<f4").tobytes()
        if form.is_joined:
            file.write(data)
        else:
            held.append(data)

    yield write
    if not form.is_joined:
        file.write(_npy_header(sum(map(len, held)) // (4 * form.width), form.width))
        for data in held:
            file.write(data)


_WRITERS: dict[OutputKind, Callable[[FileWriter, Form], AbstractContextManager[Write]]] = {
    OutputKind.JSONL: _jsonl,
    OutputKind.CSV: _csv,
    OutputKind.PARQUET: _parquet,
    OutputKind.NPY: _npy,
}


@contextmanager
def _open_table(file: FileWriter, schema: Any) -> Iterator[Any]:
    """Its end is written whatever happened: pyarrow would do it later, when the file is closed."""
    writer = parquet.ParquetWriter(pa.PythonFile(_Sink(file), mode="w"), schema)
    try:
        yield writer
    finally:
        writer.close()


class _Sink:
    """A FileWriter as pyarrow wants a file; who opened it closes it."""

    closed = False

    def __init__(self, file: FileWriter) -> None:
        self._file = file
        self._at = 0

    def write(self, data: bytes) -> int:
        self._file.write(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """The file is whole when it is closed, and not before."""

    def close(self) -> None:
        self.closed = True


def _join_tables(storage: Storage, parts: Sequence[str], file: FileWriter, schema: Any) -> None:
    """In row groups of their own size: parts may be small."""
    held: list[Any] = []
    with _open_table(file, schema) as writer:
        for part in parts:
            with storage.open_file(part) as stored, parquet.ParquetFile(stored) as opened:
                for group in range(opened.metadata.num_row_groups):
                    held.append(opened.read_row_group(group))
                    rows, size = sum(map(len, held)), sum(table.nbytes for table in held)
                    if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
                        writer.write_table(pa.concat_tables(held))
                        held = []
        if held:
            writer.write_table(pa.concat_tables(held))


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Vectors as lists: nine digits say which fp32 number it is."""
    if not any(isinstance(value, np.ndarray) for value in row.values()):
        return row
    return {
        name: [float(f"{item:.9g}") for item in value.tolist()]
        if isinstance(value, np.ndarray)
        else value
        for name, value in row.items()
    }


def _csv_line(names: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    return text.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    return value if value is None or isinstance(value, int | float) else json_text(value)


def _npy_header(rows: int, width: int) -> bytes:
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    npy.write_array_header_1_0(header, shape)
    return header.getvalue()
