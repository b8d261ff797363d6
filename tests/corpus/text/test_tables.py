from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Source
from tests.corpus.text.reading import WHOLE, a_source, texts


def a_parquet(tmp_path: Path, texts: Any, **settings: Any) -> Source:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"id": [*range(len(texts))], "text": texts}), path, **settings)
    return a_source(path, "parquet")


def refused(source: Source) -> str:
    with pytest.raises(RequestError) as caught:
        texts(source)
    return str(caught.value)


@given(
    rows=st.lists(st.none() | st.text("ab é中\n ", max_size=9), min_size=1, max_size=20),
    group_rows=st.integers(1, 6),
    part_bytes=st.integers(1, 900),
    kind=st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
)
def test_every_row_of_parquet_is_read_once(
    tmp_path: Path, rows: list[str | None], group_rows: int, part_bytes: int, kind: pa.DataType
) -> None:
    source = a_parquet(tmp_path, pa.array(rows, pa.string()).cast(kind), row_group_size=group_rows)
    assert texts(source, part_bytes) == [row for row in rows if row and row.strip()]


def test_a_list_of_texts_gives_lines(tmp_path: Path) -> None:
    source = a_parquet(tmp_path, pa.array([["a", None, "b\nc"], None, []]))
    assert texts(source) == ["a\nb c"]


def test_a_column_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    source = a_parquet(tmp_path, pa.array([None, 3]))
    told = refused(source)
    assert f"{tmp_path}/a.parquet: row 1 of the column text holds int 3 and not a text" in told
    other = a_source(tmp_path / "a.parquet", "parquet", column="txet")
    assert "has no column txet; it has id, text." in refused(other)
    assert "try text." in refused(other)


@pytest.mark.parametrize("is_list", [False, True])
def test_text_that_is_not_utf8_is_told_by_its_row_or_replaced(
    tmp_path: Path, is_list: bool
) -> None:
    column = pa.array([b"good", b"ab\xff", None]).view(pa.string())
    if is_list:
        column = pa.ListArray.from_arrays([0, 1, 2, 3], column)
    source = a_parquet(tmp_path, column)
    assert "row 1 of the column text is not UTF-8: byte 0xff at 2 of its text" in refused(source)
    replaced = a_source(tmp_path / "a.parquet", "parquet", undecodable="replace")
    assert texts(replaced) == ["good", "ab\ufffd"]


@pytest.mark.parametrize("part_bytes", [1, WHOLE])
def test_rows_are_counted_through_the_whole_file(tmp_path: Path, part_bytes: int) -> None:
    column = pa.array([None] * 25 + [3] + [None] * 4)
    source = a_parquet(tmp_path, column, row_group_size=10)
    with pytest.raises(RequestError, match="row 25 of the column text holds int 3"):
        texts(source, part_bytes)


def test_a_parquet_file_that_was_cut_off_is_an_error(tmp_path: Path) -> None:
    a_parquet(tmp_path, pa.array([f"some text {number}" for number in range(100)]))
    path = tmp_path / "a.parquet"
    whole = path.read_bytes()
    for size in (1, 3, 8, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        told = refused(a_source(path, "parquet"))
        assert f"{path} cannot be read as parquet" in told
