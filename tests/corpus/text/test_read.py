from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.corpus.text.documents import PIECE_CHARS
from orchestrator.corpus.text.read import read_part
from orchestrator.errors import NotFoundError
from orchestrator.runs.storage import open_storage
from tests.corpus.text.reading import WHOLE, a_source, documents, plan, texts

LINES = st.lists(
    st.text("ab é中\t", max_size=12) | st.sampled_from(["# one", "#", "", " ", "\u2028", "\x85"]),
    max_size=25,
)


def by_blank_lines(lines: list[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            groups[-1].append(line)
        else:
            groups.append([])
    return groups


def by_starts(lines: list[str]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("#"):
            groups.append([])
        groups[-1].append(line)
    return groups


@given(
    lines=LINES,
    end=st.sampled_from(["\n", "\r\n"]),
    is_marked=st.booleans(),
    part_bytes=st.integers(1, 60),
)
@example(lines=["", "two"], end="\n", is_marked=True, part_bytes=4)
def test_all_parts_together_are_the_documents_of_the_file(
    tmp_path: Path, lines: list[str], end: str, is_marked: bool, part_bytes: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" * is_marked + end.join([*lines, "the last"]).encode())
    lines = [*lines, "the last"]
    for settings, groups in (
        ({"layout": "file"}, [lines]),
        ({"layout": "paragraphs"}, [[line] for line in lines]),
        ({"layout": "blocks"}, by_blank_lines(lines)),
        ({"layout": "paragraphs", "document_start": "#"}, by_starts(lines)),
    ):
        made = [text for group in groups if (text := "\n".join(group)).strip()]
        assert texts(a_source(path, **settings), part_bytes) == made
        assert texts(a_source(path, **settings)) == made


@given(
    rows=st.lists(st.sampled_from(["# one", "two", "", None, "# 3\n4"]), max_size=20),
    part_bytes=st.integers(1, 200),
)
@example(rows=[None, "two"], part_bytes=15)
def test_rows_that_continue_a_document_may_lie_in_other_parts(
    tmp_path: Path, rows: list[str | None], part_bytes: int
) -> None:
    path = tmp_path / "a.jsonl"
    rows = [*rows, "# the last"]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    made = ["\n".join(group) for group in by_starts([row for row in rows if row is not None])]
    source = a_source(path, "jsonl", document_start="#")
    assert texts(source, part_bytes) == [text for text in made if text.strip()]


@given(
    lengths=st.lists(st.integers(1, 200), min_size=1, max_size=20), part_bytes=st.integers(1, 999)
)
def test_what_is_told_grows_to_the_size_of_the_part(
    tmp_path: Path, lengths: list[int], part_bytes: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join("x" * length + "\n" for length in lengths))
    source = a_source((str(path), str(path.with_suffix(".gz"))), layout="paragraphs")
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    for part in plan(source, part_bytes=part_bytes):
        told: list[int] = []
        list(read_part(source, part, tell=told.append))
        assert told == sorted(told)
        assert told[-1] == part.size_bytes


def test_a_part_is_read_the_same_again_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {number}\n" for number in range(99)))
    source = a_source(path, layout="paragraphs")
    parts = plan(source, part_bytes=100)
    read = [list(read_part(source, part)) for part in parts]
    assert read[::-1] == [list(read_part(source, part)) for part in reversed(parts)]


def test_text_on_an_object_store_is_read_like_that_on_a_disk(s3_uri: str, tmp_path: Path) -> None:
    store = open_storage(s3_uri)
    rows = [json.dumps({"text": f"document {number}"}) for number in range(40)]
    store.write("a b/plain.jsonl", "\n".join(rows[:20]).encode())
    store.write("a b/packed.jsonl.gz", gzip.compress("\n".join(rows[20:]).encode()))
    source = a_source(s3_uri.replace("/runs?", "/runs/a%20b/*.jsonl*?"), "jsonl")
    wanted = [f"document {number}" for number in [*range(20, 40), *range(20)]]
    for part_bytes in (50, WHOLE):
        assert texts(source, part_bytes) == wanted
    (part,) = plan(source)
    store.remove("a b/plain.jsonl")
    with pytest.raises(
        NotFoundError, match=r"/team%20a/runs/a%20b/plain\.jsonl\?.* does not exist"
    ):
        list(read_part(source, part))


# ----- documents and lines of any length


@pytest.mark.parametrize("name", ["a.txt", "a.txt.zst"])
@pytest.mark.parametrize("settings", [{"layout": "file"}, {"layout": "paragraphs"}])
def test_a_line_of_any_length_needs_little_memory(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    size = 48 * 2**20
    line = b"some words. " * (size // 12)
    path = tmp_path / name
    path.write_bytes(line if name == "a.txt" else zstandard.ZstdCompressor().compress(line))
    del line
    source = a_source(path, **settings)
    (part,) = plan(source)
    tracemalloc.start()
    try:
        lengths = [(len(piece.text), piece.is_rest) for piece in read_part(source, part)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(length for length, _ in lengths) == size
    assert all(PIECE_CHARS - 12 < length <= PIECE_CHARS for length, _ in lengths[:-1])
    assert [is_rest for _, is_rest in lengths] == [False] + [True] * (len(lengths) - 1)
    assert peak < 40 * 2**20


@pytest.mark.parametrize("settings", [{"layout": "blocks"}, {"layout": "paragraphs"}])
def test_a_line_longer_than_many_parts_is_read_by_the_first(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\n\n" + "中文 ".encode() * 700_000 + b"\r\n\r\nlast\n")
    source = a_source(path, **settings)
    in_parts = documents(source, part_bytes=2**19)
    assert in_parts == documents(source)
    assert [document.text for document in in_parts] == ["first", "中文 " * 700_000, "last"]


def test_blank_lines_are_those_that_a_reader_of_the_next_part_can_see(tmp_path: Path) -> None:
    """It looks back for one; a line of endless white space is no separator for anybody."""
    path = tmp_path / "a.txt"
    for blank, count in ((" " * 2**14, 2), ("\u3000" * 2**14, 2), (" " * (2**14 + 1), 1)):
        path.write_text(f"one\n{blank}\ntwo\n")
        source = a_source(path, layout="blocks")
        found = documents(source)
        assert len(found) == count
        for part_bytes in (2**14 + 3, 2**14 + 5, 2**14 + 8, 999, 4099):
            assert documents(source, part_bytes) == found


def test_a_pattern_sees_the_beginning_of_a_long_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    source = a_source(path, layout="paragraphs", document_start=r"# (one|two .*y)$")
    for length in (10, 100_000, 3_000_000):
        path.write_text("# one\n" + "x" * length + "\n# two " + "y" * length + " #\n")
        starts = ["# one\n", "# two "][: 1 + (length > 2**16)]
        assert [text[:6] for text in texts(source, 2**20)] == starts


def test_an_empty_file_among_others_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").write_text("\n \n\t\n")
    (tmp_path / "c.txt").write_text("text")
    for kind in ("file", "blocks", "paragraphs"):
        assert texts(a_source(tmp_path / "*.txt", layout=kind)) == ["text"]
    assert texts(a_source(tmp_path / "b.txt")) == []
