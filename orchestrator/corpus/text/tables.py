"""Rows of Arrow tables, and of parquet files, which are divided by row groups.

`read` calls this for parquet and `hub` for data sets; `parts` asks where a file can be divided.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from orchestrator.corpus.text.cells import NotText, missing_column, text_of
from orchestrator.corpus.text.documents import Texts
from orchestrator.corpus.text.files import locate
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.streams import Meter
from orchestrator.errors import RequestError

_TABLE_BYTES = 2**21  # about what is decoded at once
_READ_BYTES = 2**23  # of a column, in place of all of its row group


class ParquetFile:
    """An open one; use `open_parquet`."""

    def __init__(self, file: Any, origin: Origin) -> None:
        self._file = file
        self._origin = origin
        self.group_bytes = [
            sum(group.column(index).total_compressed_size for index in range(group.num_columns))
            for group in map(file.metadata.row_group, range(file.metadata.num_row_groups))
        ]

    @property
    def num_groups(self) -> int:
        return len(self.group_bytes)

    def texts(self, groups: range, meter: Meter) -> Iterator[Texts]:
        column = self._origin.source.column
        schema = self._file.schema_arrow
        if column not in schema.names:
            raise missing_column(self._origin, schema.names)
        metadata = self._file.metadata
        first = sum(metadata.row_group(index).num_rows for index in range(groups.start))
        for index in groups:
            group = metadata.row_group(index)
            num_rows = rows_at_once(group.total_byte_size, group.num_rows)
            tables = self._file.iter_batches(
                num_rows, row_groups=[index], columns=[column], use_threads=False
            )
            for table in tables:
                yield column_texts(table.column(column), self._origin, first)
                first += len(table)
            meter(self.group_bytes[index])


@contextmanager
def open_parquet(origin: Origin) -> Iterator[ParquetFile]:
    storage, name = locate(origin.uri)
    with storage.open_file(name) as stored:
        try:
            with parquet.ParquetFile(stored, buffer_size=_READ_BYTES) as file:
                yield ParquetFile(file, origin)
        except (pa.ArrowException, OSError) as err:
            reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
            raise RequestError(
                f"{origin.uri} cannot be read as parquet: {reason}.",
                hint="A file that is cut off has lost its end, where its index is. Copy it again.",
            ) from err


def rows_at_once(num_bytes: int, num_rows: int) -> int:
    """So many that long texts do not fill the memory and short ones do not take long."""
    return min(max(_TABLE_BYTES * num_rows // max(num_bytes, 1), 1), 4096)


def column_texts(column: Any, origin: Origin, first: int) -> Texts:
    """Of an Arrow array whose first row has the number `first` in the file or data set."""
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = [_decoded(cell, origin, first + index) for index, cell in enumerate(column)]
    items: list[str] = []
    for index, value in enumerate(values):
        try:
            text = text_of(value, replaces=origin.replaces)
        except NotText as err:
            raise RequestError(
                f"{origin.uri}: row {first + index:,} of the column {origin.source.column} {err}.",
                hint=f"Set {origin.key}.column to the one that holds the text.",
            ) from err
        if text is not None:
            items.append(text)
    return Texts(items=items)


def _decoded(cell: Any, origin: Origin, row: int) -> Any:
    """A cell of a column in which some text is not UTF-8, as Arrow's texts have to be."""
    try:
        return cell.as_py()
    except UnicodeDecodeError as err:
        if not origin.replaces:
            raise RequestError(
                f"{origin.uri}: row {row:,} of the column {origin.source.column} is not UTF-8: "
                f"byte 0x{err.object[err.start]:02x} at {err.start:,} of its text.",
                hint=f"Set {origin.key}.undecodable=replace.",
            ) from err
    if isinstance(cell, pa.ListScalar | pa.LargeListScalar):
        return [_decoded(item, origin, row) for item in cell.values]
    return cell.as_buffer().to_pybytes().decode("utf-8", "replace")
