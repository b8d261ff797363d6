"""However an input is divided, each of its rows is read once, in order, and known by its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import RequestError
from orchestrator.settings.predict import Input, InputKind, OnBad
from orchestrator.tasks.prediction.look import refuse_bad
from orchestrator.tasks.prediction.rows import Rows
from tests.tasks.prediction.inputs import looked_at, parts, read_back, rows_of, write_file

PIECES = st.sampled_from(["a", "é", "漢", ' "', ",", "\n", "\r\n", "\u2028", "word ", "\t"])
CELLS = st.lists(PIECES, max_size=6).map(lambda some: "x" + "".join(some) + "y")
ROWS = st.lists(st.fixed_dictionaries({"id": CELLS, "text": CELLS}), min_size=1, max_size=20)
NAMES = ["rows.jsonl", "rows.csv", "rows.csv.gz", "rows.jsonl.gz", "rows.parquet"]
LINES = st.lists(st.text("ab é\r", max_size=9), min_size=1, max_size=40)


def settings_of(*paths: Path, **more: Any) -> Input:
    return Input(path=tuple(map(str, paths)), **more)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6)
@given(rows=ROWS, size=st.integers(8, 200))
def test_every_row_is_read_once_and_in_order(
    name: str, rows: list[dict[str, str]], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rows") / name
    asked = settings_of(path)
    kind = asked.kind_of(name)
    assert kind is not None
    write_file(path, kind, rows)
    divided = parts(asked, size)
    found = read_back(asked, divided)
    # Of a line's end within a field no reader of csv knows which of the two it was.
    wanted = json.loads(json.dumps(rows).replace("\\r\\n", "\\n")) if "csv" in name else rows
    assert found == wanted
    assert sum(part.num_rows for part in divided) == len(rows)
    (whole,) = parts(asked, 2**30)
    lines = [[row.line for row in rows_of(asked, some)] for some in (divided, [whole])]
    assert lines[0] == lines[1]


@given(lines=LINES, size=st.integers(1, 30), encoding=st.sampled_from(["utf-8", "latin-1"]))
def test_lines_of_text_are_divided_at_any_byte(
    lines: list[str], size: int, encoding: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The last line may have no end; blank ones are passed over, but are counted."""
    path = tmp_path_factory.mktemp("rows") / "rows.txt"
    path.write_bytes("\n".join(lines).encode(encoding))
    told = [{"text": line.removesuffix("\r")} for line in lines if line and not line.isspace()]
    asked = settings_of(path, encoding=encoding)
    if not path.stat().st_size:
        return
    _, spans = looked_at(asked, size)
    rows = [row for span in spans for row in Rows(span, asked)]
    assert [row.values for row in rows] == told
    numbers = [place for place, line in enumerate(lines, 1) if line and not line.isspace()]
    assert [row.line for row in rows] == numbers


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "shift_jis"])
def test_a_file_may_be_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    word = "漢字" if encoding != "latin-1" else "é"
    rows = [{"text": f"{word} {number}"} for number in range(40)]
    asked = settings_of(tmp_path / "rows.txt", encoding=encoding)
    write_file(tmp_path / "rows.txt", InputKind.TEXT, rows, encoding=encoding)
    for size in (64, 10_000):
        assert read_back(asked, parts(asked, size)) == rows


def test_files_follow_each_other_as_named_and_small_ones_share_a_part(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write_file(tmp_path / f"{name}.jsonl", InputKind.JSONL, [{"text": name}] * 3)
    asked = settings_of(tmp_path / "c.jsonl", tmp_path / "*.jsonl")
    (part,) = parts(asked, 10_000)
    assert [row["text"] for row in read_back(asked, [part])] == [*"cccaaabbb"]


def test_bad_rows_are_told_by_file_and_line_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = [json.dumps({"text": f"number {number}"}) for number in range(60)]
    good[10], good[30], good[31] = '{"text": ""}', "not json", '{"words": "a"}'
    good[50] = '"text"'
    path.write_bytes("\n".join(good).encode() + b'\n\n{"text": "\xff"}\n')
    looked, spans = looked_at(settings_of(path), 300)
    assert len(looked) > 3
    with pytest.raises(RequestError) as caught:
        refuse_bad(looked, spans)
    said = str(caught.value)
    assert said.startswith("5 rows cannot be asked; nothing was written.")
    for told in (
        f"{path}, line 11: text is empty.",
        f"{path}, line 31: is not JSON",
        f"{path}, line 32: has no text; it has words.",
        f"{path}, line 51: is no object",
        f"{path}, line 62: has the byte 0xff",
        "input.on_bad=skip",
    ):
        assert told in said


def test_bad_rows_of_csv_are_those_with_other_fields_or_quotes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,text\n1,one\n2\n3,"two\nlines"\n4,"a"b\n5,five\n')
    asked = settings_of(path, on_bad=OnBad.SKIP)
    _, spans = looked_at(asked, 256)
    rows = [(row.line, row.values.get("id"), bool(row.problem)) for row in Rows(spans[0], asked)]
    assert rows[:3] == [(2, "1", False), (3, "2", True), (4, "3", False)]
    assert rows[3][0] == 6 and rows[3][2]
    assert rows[-1] == (7, "5", False)
    path.write_text('id,text\n1,"never ends\n2,two\n')
    with pytest.raises(RequestError, match=r"line 2: a field begins with a quote"):
        looked_at(asked, 256)
    told = settings_of(path, quotes=False)
    assert [row.values["text"] for row in Rows(looked_at(told, 256)[1][0], told)][1] == "two"


def test_an_input_without_a_name_that_says_what_it_is_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.dat").write_text("a\n")
    with pytest.raises(RequestError, match=r"input\.kind is one of"):
        parts(settings_of(tmp_path / "rows.dat"), 256)
    assert len(parts(settings_of(tmp_path / "rows.dat", kind=InputKind.TEXT), 256)) == 1
    (tmp_path / "empty.txt").touch()
    with pytest.raises(RequestError, match="only files of 0 bytes"):
        parts(settings_of(tmp_path / "empty.txt"), 256)


def test_tabs_stand_between_the_fields_of_a_tsv_file(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("id\ttext\n1\ta,b\n")
    asked = settings_of(tmp_path / "rows.tsv")
    assert read_back(asked, parts(asked, 256)) == [{"id": "1", "text": "a,b"}]
