from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import parquet

from orchestrator.corpus.text.parts import Part
from orchestrator.errors import RequestError
from tests.corpus.text.reading import a_source, plan

SIZES = st.lists(st.integers(0, 300), min_size=1, max_size=8)


def sizes_of(part: Part) -> list[int]:
    return [span.size_bytes for span in part.spans]


@given(sizes=SIZES, part_bytes=st.integers(1, 400))
@example(sizes=[3, 0, 3], part_bytes=100)
def test_parts_cover_each_byte_once_and_are_about_the_size_asked_for(
    tmp_path: Path, sizes: list[int], part_bytes: int
) -> None:
    sizes = [*sizes, 7]
    paths = [tmp_path / f"{number}.jsonl" for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(b"x" * size)
    parts = plan(a_source(tuple(map(str, paths)), "jsonl"), part_bytes=part_bytes)
    spans = [span for part in parts for span in part.spans]
    for path, size in zip(paths, sizes, strict=True):
        own = [span for span in spans if span.uri == str(path)]
        bounds = [(span.begin, span.end) for span in own]
        assert [begin for begin, _ in bounds] == [0, *(end for _, end in bounds)][: len(bounds)]
        assert sum(span.size_bytes for span in own) == size
        assert not own or own[-1].end == size
        assert all(span.modified == path.stat().st_mtime_ns / 1e9 for span in own)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert all(part.size_bytes <= part_bytes for part in parts)
    for part, following in pairwise(parts):
        assert part.size_bytes + sizes_of(following)[0] > part_bytes


def test_a_file_is_the_same_by_its_name_and_by_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert plan(a_source(tmp_path / "a.txt")) == plan(a_source(tmp_path / "*.txt"))


def test_files_come_in_the_order_of_the_entries_and_once(tmp_path: Path) -> None:
    for name in ("c.txt", "a.txt", "b.txt"):
        (tmp_path / name).write_text("text")
    first, rest = f"{tmp_path}/b.txt", f"{tmp_path}/*.txt"
    (part,) = plan(a_source((first, rest, first)))
    assert [Path(span.uri).name for span in part.spans] == ["b.txt", "a.txt", "c.txt"]


def test_parts_are_counted_through_all_sources(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"x" * 100)
    source = a_source(tmp_path / "a.jsonl", "jsonl")
    parts = plan(source, source, part_bytes=60)
    assert [(part.number, part.source) for part in parts] == [
        *((0, "s0"), (1, "s0"), (2, "s1"), (3, "s1"))
    ]


def test_what_cannot_be_divided_is_left_whole(tmp_path: Path) -> None:
    text = b"one line\n" * 1000
    (tmp_path / "a.txt").write_bytes(text)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text, 0))
    (tmp_path / "a.csv").write_bytes(text)
    plain = tmp_path / "a.txt"
    for source in (
        a_source(plain),
        a_source(f"{plain}.gz", layout="blocks"),
        a_source(plain, layout="blocks", encoding="utf-16"),
        a_source(f"{plain}.gz", "jsonl"),
        a_source(tmp_path / "a.csv", "csv"),
    ):
        ((span,),) = [part.spans for part in plan(source, part_bytes=10)]
        assert (span.begin, span.end) == (0, None)
        assert span.size_bytes == Path(span.uri).stat().st_size
    assert len(plan(a_source(plain, layout="blocks"), part_bytes=1000)) == 9


def test_a_parquet_file_is_divided_by_its_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"{number} {'x' * 50}" for number in range(100)]})
    parquet.write_table(table, path, row_group_size=10, compression="none")
    ((span,),) = [part.spans for part in plan(a_source(path, "parquet"))]
    assert (span.begin, span.end, span.size_bytes) == (0, None, path.stat().st_size)
    parts = plan(a_source(path, "parquet"), part_bytes=1500)
    spans = [span for part in parts for span in part.spans]
    assert [(span.begin, span.end) for span in spans] == [(at, at + 1) for at in range(10)]
    assert all(0 < part.size_bytes <= 1500 for part in parts)
    assert 1 < len(parts) < 10


def test_files_without_a_byte_are_a_mistake_when_there_are_no_others(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).touch()
    source = a_source(f"{tmp_path}/*.txt")
    with pytest.raises(RequestError, match=r"corpus\.sources\.s0\.path names only files of 0 byte"):
        plan(source)
    (tmp_path / "b.txt").write_text("x")
    assert sum(part.size_bytes for part in plan(source)) == 1


def test_a_second_source_is_named_by_its_own_key(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(RequestError, match=r"^corpus\.sources\.s1\.path=.*b\.txt does not exist"):
        plan(a_source(tmp_path / "a.txt"), a_source(tmp_path / "b.txt"))
