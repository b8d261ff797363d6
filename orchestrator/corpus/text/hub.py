"""Data sets that `datasets` opens: by a name on the hub, a folder of files, or a saved one's.

One that is stored is divided by rows, one that is streamed by the shards that it comes in.
`parts` asks how, `read` reads; both in the tasks of a job, wherever those run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.corpus.text.cells import missing_column
from orchestrator.corpus.text.documents import Texts
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.streams import Meter
from orchestrator.corpus.text.tables import column_texts, rows_at_once
from orchestrator.errors import RequestError, StorageError
from orchestrator.settings.finding import did_you_mean

_STREAMED_ROWS = 256  # at once: how long they are is not known


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """An open one. It is divided at units: rows, or shards where it is streamed."""

    data: Any
    origin: Origin
    is_streamed: bool
    num_units: int
    size_bytes: int  # 0 where unknown

    def texts(self, units: range, meter: Meter) -> Iterator[Texts]:
        if units.stop > self.num_units:
            raise RequestError(
                f"{self.origin.uri} has {self.num_units:,} rows or shards; it had at least "
                f"{units.stop:,} when the parts were planned.",
                hint=f"Pin {self.origin.key}.revision to a commit.",
            )
        tables = self._streamed(units) if self.is_streamed else self._stored(units)
        for first, table in tables:
            if self.origin.source.column not in table.column_names:
                raise missing_column(self.origin, table.column_names)
            column = table.column(self.origin.source.column)
            yield column_texts(column, self.origin, first)
            meter(column.nbytes)

    def _stored(self, units: range) -> Iterator[tuple[int, Any]]:
        step = rows_at_once(self.size_bytes, self.num_units)
        for begin in units[::step]:
            yield begin, self.data[begin : min(begin + step, units.stop)]

    def _streamed(self, units: range) -> Iterator[tuple[int, Any]]:
        for unit in units:
            row = 0
            tables = self.data.shard(self.num_units, unit).iter(_STREAMED_ROWS)
            for table in _explained(tables, f"{self.origin.uri}, shard {unit}"):
                yield row, table
                row += len(table)


def open_dataset(origin: Origin) -> DataSet:
    return _open(origin, folder_modified(origin.uri))


def folder_modified(path: str) -> float:
    """When a local folder's newest file was written; 0 for what is no local folder."""
    files = (file for file in Path(path).rglob("*") if file.is_file())
    return max((file.stat().st_mtime for file in files), default=0.0)


@lru_cache(maxsize=4)
def _open(origin: Origin, modified: float) -> DataSet:
    """Kept: a task reads one part of many, and the hub is asked whenever one is opened."""
    try:
        data = _load(origin)
    except RequestError:
        raise
    except Exception as err:  # of all kinds, by what the set is made of
        raise _not_opened(origin, err) from err
    column, known = origin.source.column, data.column_names
    if known is not None:  # a streamed one may only know them when it is read
        if column not in known:
            raise missing_column(origin, known)
        data = data.select_columns([column])
    is_streamed = not hasattr(data, "num_rows")
    return DataSet(
        data=data.with_format("arrow"),
        origin=origin,
        is_streamed=is_streamed,
        num_units=data.num_shards if is_streamed else data.num_rows,
        size_bytes=0 if is_streamed else data.data.nbytes,
    )


def _load(origin: Origin) -> Any:
    import datasets

    source, folder = origin.source, Path(origin.uri)
    if (folder / "dataset_dict.json").is_file():
        splits = datasets.load_from_disk(origin.uri)
        if source.split not in splits:
            near = did_you_mean(source.split, splits)
            raise RequestError(
                f"{origin.uri} has no split {source.split}; it has {', '.join(sorted(splits))}.",
                hint=f"Set {origin.key}.split; try {near}",
            )
        return splits[source.split]
    if (folder / "state.json").is_file():
        return datasets.load_from_disk(origin.uri)
    return datasets.load_dataset(
        origin.uri,
        source.subset,
        split=source.split,
        revision=source.revision,
        streaming=source.streaming,
    )


def _not_opened(origin: Origin, err: Exception) -> RequestError:
    what = f"{origin.key}.path={origin.uri} cannot be opened as a data set: {_reason(err)}."
    if isinstance(err, ConnectionError):
        return StorageError(
            what,
            hint="It is no folder here, and the hub does not answer: check the name and the "
            "network, or save the data set where there is one (save_to_disk) and give its folder.",
        )
    return RequestError(
        what,
        hint=f"Its name, {origin.key}.subset, split and revision must be of a data set that "
        "datasets.load_dataset opens.",
    )


def _explained(tables: Iterator[Any], where: str) -> Iterator[Any]:
    """What breaks off in the middle of a stream, in our words."""
    try:
        yield from tables
    except Exception as err:
        raise StorageError(f"{where} cannot be read on: {_reason(err)}.") from err


def _reason(err: BaseException) -> str:
    """In a line, with the error behind it: the outer one often says little."""
    said = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
    return f"{said} ({_reason(err.__cause__)})" if err.__cause__ else said
