from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Source
from tests.corpus.text.reading import WHOLE, a_source, texts

CELLS = st.lists(st.sampled_from([*'ab ",;\n\té中😀\\', "\r\n"]), max_size=12).map("".join)


def refused(source: Source, part_bytes: int = WHOLE) -> str:
    with pytest.raises(RequestError) as caught:
        texts(source, part_bytes)
    return str(caught.value)


def clean(rows: list[str]) -> list[str]:
    return [row.replace("\r\n", "\n") for row in rows if row.strip()]


# ----- jsonl


@given(
    rows=st.lists(CELLS, min_size=1, max_size=12),
    is_ascii=st.booleans(),
    part_bytes=st.integers(1, 200),
)
def test_every_row_of_jsonl_is_read_once(
    tmp_path: Path, rows: list[str], is_ascii: bool, part_bytes: int
) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"n": 1, "text": row}, ensure_ascii=is_ascii) for row in rows]
    path.write_bytes("\r\n\n".join(lines).encode())
    assert texts(a_source(path, "jsonl"), part_bytes) == clean(rows)


def a_jsonl(tmp_path: Path, *rows: object, **settings: str) -> Source:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return a_source(path, "jsonl", **settings)


def test_a_column_may_lie_in_objects_and_hold_lines(tmp_path: Path) -> None:
    rows = (
        {"meta": {"text": "one"}},
        {"meta": None},
        {"meta": {"text": ["two", None, "2\n2"]}},
        {"meta": {"text": None}},
        {"meta.text": "its own name", "meta": {"text": "not this"}},
        {"meta": {"text": []}},
    )
    source = a_jsonl(tmp_path, *rows, column="meta.text")
    assert texts(source) == ["one", "two\n2 2", "its own name"]


def test_a_row_without_the_column_is_told_with_its_place_and_what_there_is(tmp_path: Path) -> None:
    source = a_jsonl(tmp_path, {"text": "a"}, {"txt": "b", "id": 1})
    for part_bytes in (5, WHOLE):
        told = refused(source, part_bytes)
        assert "a.jsonl: the line at byte 14 has no text; it has txt, id. Try txt." in told
        assert "corpus.sources.s0.column" in told
    nested = refused(a_jsonl(tmp_path, {"meta": {"txt": "b"}}, column="meta.text"))
    assert "has no meta.text; it has meta.txt. Try meta.txt." in nested
    assert "has no a.b; it has none." in refused(a_jsonl(tmp_path, {"a": "text"}, column="a.b"))


def test_what_is_no_text_is_told_by_what_it_is(tmp_path: Path) -> None:
    for value, found in (
        (3, "holds int 3 and not a text"),
        ({"a": 1}, "holds an object (a) and not a text"),
        (["a", 1], "holds a list with int 1 and not only texts"),
        (True, "holds bool True and not a text"),
    ):
        assert found in refused(a_jsonl(tmp_path, {"text": value}))
    assert "is a list of 1 and not an object" in refused(a_jsonl(tmp_path, ["text"]))


@pytest.mark.parametrize("part_bytes", [7, WHOLE])
def test_a_line_that_is_no_json_is_told_by_its_place(tmp_path: Path, part_bytes: int) -> None:
    path = tmp_path / "a.jsonl"
    for bad in (
        b'{"text": "cut o',
        b"{'text': 1}",
        b"plain",
        b"[" * 99_999,
        b'{"text": 1} {"b": 2}',
    ):
        path.write_bytes('{"text": "é"}\r\n\n'.encode() + bad + b'\n{"text": "b"}')
        told = refused(a_source(path, "jsonl"), part_bytes)
        assert f"{path}: the line at byte 17 is not JSON: " in told
    path.write_bytes(b'{"text": "b"}\n{"text": "cut o')
    assert 'near \'{"text": "cut o\'' in refused(a_source(path, "jsonl"), part_bytes)


def test_half_a_character_is_refused_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "\\ud83d\\ude00"}\n{"text": "ab\\ud83d"}\n')
    told = refused(a_source(path, "jsonl"))
    assert "the line at byte 25 holds half a character, \\ud83d, at 2" in told
    source = a_source(path, "jsonl", undecodable="replace")
    assert texts(source) == ["😀", "ab?"]


# ----- csv


@given(
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=12),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_row_of_csv_is_read_once(
    tmp_path: Path, rows: list[tuple[str, str]], delimiter: str, end: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows([("id", "text"), *rows])
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + out.getvalue().encode())
    assert texts(a_source(path, "csv", delimiter=delimiter)) == clean([text for _, text in rows])


def test_csv_that_is_broken_is_told_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = a_source(path, "csv")
    for content, found in (
        ("id,txt\n1,a\n", "has no column text; it has id, txt."),
        (
            "id,text\n1,a\n\n2,b,c\n",
            "the row that ends at line 4 has 3 fields; the first row names 2",
        ),
        ('id,text\n1,"never closed\n2,b\n', "is not CSV: unexpected end of data"),
        ('id,text\n1,"a"b\n', "the row that ends at line 2 is not CSV"),
    ):
        path.write_text(content)
        told = refused(source)
        assert found in told
        assert str(path) in told


def test_a_field_may_be_longer_than_pythons_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text\n{'word ' * 60_000}\n")
    assert texts(a_source(path, "csv")) == ["word " * 60_000]
