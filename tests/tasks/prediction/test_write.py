"""Parts put together are the file that one part would have been; what was read can be written."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from orchestrator.errors import RequestError
from orchestrator.runs.storage import open_storage
from orchestrator.settings.predict import OutputKind
from orchestrator.tasks.prediction.columns import Columns
from orchestrator.tasks.prediction.write import Form, claim, join, write_rows

ROWS: list[dict[str, Any]] = [
    {"id": 1, "text": "a", "share": 1, "prediction": "x", "confidence": 0.5, "error": None},
    {"id": 2, "text": 'é "b"\n,', "share": 0.25, "prediction": "y", "confidence": None},
    {"id": 3, "text": "c", "tags": ["p", "q"], "share": None, "error": "line 3: is not JSON."},
    {"id": 4, "text": "\udcff\ud800", "mixed": 2**70, "prediction": "x", "confidence": 1.0},
    {"id": 5, "text": "e", "mixed": {"k": [None, True]}},
]


def form_of(kind: OutputKind, *, is_joined: bool = True, rows: list[dict[str, Any]] = ROWS) -> Form:
    columns = Columns()
    for row in rows:
        columns.add({name: row[name] for name in row if name != "vector"})
    own = columns.schema()
    if "vector" in rows[0]:
        own = own.append(pa.field("vector", pa.list_(pa.float32(), 3)))
    return Form(kind=kind, schema=own, vector="vector", width=3, is_joined=is_joined)


def joined(folder: Path, form: Form, rows: list[dict[str, Any]], size: int) -> Path:
    names = []
    for begin in range(0, len(rows), size):
        name = f"part-{begin:03d}.{form.suffix}"
        chunks = [[row] for row in rows[begin : begin + size]]
        write_rows(str(folder / "parts" / name), form, chunks)
        names.append(name)
    target = folder / f"of-{size}.{form.kind.value}"
    join(open_storage(folder / "parts"), names, str(target), form)
    return target


def test_an_output_is_one_runs(tmp_path: Path) -> None:
    run, target = open_storage(tmp_path / "run"), tmp_path / "answers.csv"
    claim(run, str(target))
    target.write_text("half of them")
    claim(run, str(target))  # another attempt
    with pytest.raises(RequestError, match="this run has not written it; nothing is written over"):
        claim(open_storage(tmp_path / "another"), str(target))


@pytest.mark.parametrize("kind", [OutputKind.JSONL, OutputKind.CSV, OutputKind.PARQUET])
def test_parts_joined_are_the_whole(kind: OutputKind, tmp_path: Path) -> None:
    whole, divided = (joined(tmp_path, form_of(kind), ROWS, size) for size in (len(ROWS), 2))
    if kind is OutputKind.PARQUET:
        assert parquet.read_table(whole) == parquet.read_table(divided)
        assert parquet.ParquetFile(divided).metadata.num_row_groups == 1
    else:
        assert whole.read_bytes() == divided.read_bytes()
    alone = tmp_path / "alone"
    write_rows(str(alone), form_of(kind, is_joined=False), [ROWS[:2], ROWS[2:]])
    if kind is not OutputKind.PARQUET:
        assert alone.read_bytes() == whole.read_bytes()


def test_every_value_is_kept_as_far_as_the_format_goes(tmp_path: Path) -> None:
    path = joined(tmp_path, form_of(OutputKind.JSONL), ROWS, 2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == ROWS  # halves of characters too
    table = parquet.read_table(joined(tmp_path, form_of(OutputKind.PARQUET), ROWS, 2))
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["id"], kinds["share"], kinds["text"]) == ("int64", "double", "string")
    rows = table.to_pylist()
    assert rows[1]["text"] == ROWS[1]["text"] and rows[2]["tags"] == '["p", "q"]'
    assert json.loads(rows[3]["mixed"]) == 2**70 and "�" in rows[3]["text"]
    with joined(tmp_path, form_of(OutputKind.CSV), ROWS, 2).open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert [cell["id"] for cell in cells] == ["1", "2", "3", "4", "5"]
    assert cells[1]["text"] == ROWS[1]["text"] and cells[1]["confidence"] == ""
    assert json.loads(cells[4]["mixed"]) == {"k": [None, True]}


def test_vectors_are_an_array_or_a_column_and_nan_where_there_is_none(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((5, 3)).astype(np.float32)
    rows = [{"id": number, "vector": vector} for number, vector in enumerate(vectors)]
    for is_joined in (True, False):
        form = form_of(OutputKind.NPY, is_joined=is_joined, rows=rows)
        if is_joined:
            path = joined(tmp_path, form, rows, 2)
        else:
            path = tmp_path / "alone.npy"
            write_rows(str(path), form, [rows])
        assert np.array_equal(np.load(path), vectors)
    for kind in (OutputKind.PARQUET, OutputKind.JSONL):
        path = joined(tmp_path, form_of(kind, rows=rows), rows, 2)
        if kind is OutputKind.PARQUET:
            found = parquet.read_table(path)["vector"].to_pylist()
        else:
            found = [json.loads(line)["vector"] for line in path.read_text().splitlines()]
        assert np.array_equal(np.array(found, np.float32), vectors)
    rows[1] = {"id": 1, "error": "x"}
    path = joined(tmp_path, form_of(OutputKind.NPY, rows=rows[:1]), rows, 2)
    assert np.isnan(np.load(path)[1]).all() and np.array_equal(np.load(path)[2:], vectors[2:])


def test_a_file_that_failed_is_not_there(tmp_path: Path) -> None:
    def chunks() -> Any:
        yield ROWS[:2]
        raise RuntimeError("the model fell over")

    for kind in (OutputKind.JSONL, OutputKind.PARQUET):
        with pytest.raises(RuntimeError):
            write_rows(str(tmp_path / "out"), form_of(kind), chunks())
    assert list(tmp_path.iterdir()) == []
