"""Rows of parquet files, and of data sets that `datasets` opens: there, classes have names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from orchestrator.corpus.text.files import locate
from orchestrator.errors import RequestError, StorageError
from orchestrator.settings.finding import did_you_mean
from orchestrator.settings.task import Data
from orchestrator.tasks.example import Row, Where
from orchestrator.tasks.rows.stored import split_files

_UNLABELLED = -1  # in a hidden test set


def parquet_rows(data: Data, split: str) -> Iterator[Row]:
    for file in split_files(data, split):
        storage, name = locate(file.uri)
        number = 0
        try:
            with storage.open_file(name) as stored, parquet.ParquetFile(stored) as opened:
                for batch in opened.iter_batches(use_threads=False):
                    for values, problem in plain_rows(batch):
                        number += 1
                        where = Where(file.uri, number, "row")
                        if problem:
                            raise RequestError(f"{where} {problem}")
                        yield Row(values, where)
        except (pa.ArrowException, OSError) as err:
            reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
            raise RequestError(f"{file.uri} cannot be read as parquet: {reason}.") from err


def plain_rows(batch: Any) -> list[tuple[dict[str, Any], str]]:
    """Each with what is wrong with it, or nothing."""
    try:
        return [(values, "") for values in batch.to_pylist()]
    except UnicodeDecodeError as err:
        if len(batch) > 1:
            return [plain_rows(batch.slice(place, 1))[0] for place in range(len(batch))]
        return [({}, f"holds a text that is not UTF-8: {err.reason}.")]


def dataset_rows(data: Data, split: str) -> Iterator[Row]:
    name = data.splits[split].name or split
    assert data.hub is not None
    where = f"{data.hub}{f'/{data.subset}' if data.subset else ''}/{name}"
    try:
        opened = _open(data, name)
    except RequestError:
        raise
    except Exception as err:  # of all kinds, by what the set is made of
        reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
        raise StorageError(
            f"task.data.hub={data.hub} cannot be opened as a data set: {reason}.",
            hint="Check the name, subset, split and the network; where there is none, save the "
            "data set elsewhere (save_to_disk) and give its folder.",
        ) from err
    features = opened.features
    for number, values in enumerate(opened, 1):
        named = {column: _named(value, features[column]) for column, value in values.items()}
        yield Row(named, Where(where, number, "row"))


def _open(data: Data, name: str) -> Any:
    import datasets

    assert data.hub is not None
    if (Path(data.hub) / "dataset_dict.json").is_file():
        splits = datasets.load_from_disk(data.hub)
        if name not in splits:
            raise RequestError(
                f"{data.hub} has no split {name}.", hint=f"Try {did_you_mean(name, splits)}"
            )
        return splits[name]
    return datasets.load_dataset(data.hub, data.subset, split=name, revision=data.revision)


def _named(value: Any, feature: Any) -> Any:
    """Numbers of classes by their names, also within lists."""
    if hasattr(feature, "int2str"):
        return None if value is None or value == _UNLABELLED else feature.int2str(value)
    inner = getattr(feature, "feature", None)
    if inner is None and isinstance(feature, list) and feature:
        inner = feature[0]
    if inner is not None and isinstance(value, list):
        return [_named(item, inner) for item in value]
    return value
