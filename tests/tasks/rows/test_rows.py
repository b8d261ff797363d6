"""Every format gives the same rows, and tells where each came from."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from orchestrator.errors import RequestError
from orchestrator.settings.task import READERS, Data, Split
from orchestrator.tasks.example import Row

PLAIN = [
    {"text": "One, two", "label": "a"},
    {"text": 'He said "no"\nand left', "label": "b"},
    {"text": "Łódź 北京", "label": "a"},
]


def rows_of(kind: str, file: Path, **more: Any) -> list[Row]:
    data = Data(kind=kind, splits={"train": Split(path=(str(file),))}, **more)
    return list(READERS[kind](data, "train"))


def write_csv(path: Path) -> None:
    path.write_text(
        'text,label\n"One, two",a\n"He said ""no""\nand left",b\nŁódź 北京,a\n', "utf-8"
    )


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in PLAIN))


def write_parquet(path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(PLAIN), path)


@pytest.mark.parametrize(
    ("kind", "write", "numbers", "unit"),
    [
        ("csv", write_csv, [2, 3, 5], "line"),
        ("jsonl", write_jsonl, [1, 2, 3], "line"),
        ("parquet", write_parquet, [1, 2, 3], "row"),
    ],
)
def test_every_format_gives_the_same_rows(
    kind: str, write: Callable[[Path], None], numbers: list[int], unit: str, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    write(file)
    rows = rows_of(kind, file)
    assert [dict(row.values) for row in rows] == PLAIN
    assert [str(row.where) for row in rows] == [f"{file}, {unit} {number}" for number in numbers]


@pytest.mark.parametrize(
    ("end", "pack"),
    [
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_packed_files_are_read_and_a_cut_one_is_told(
    end: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "plain")
    packed = pack((tmp_path / "plain").read_bytes() * 50)
    file = tmp_path / f"rows.jsonl{end}"
    file.write_bytes(packed)
    assert len(rows_of("jsonl", file)) == 50 * len(PLAIN)
    file.write_bytes(packed[:-9])
    with pytest.raises(RequestError, match="cannot be unpacked"):
        rows_of("jsonl", file)


def test_a_saved_data_set_gives_class_names(tmp_path: Path) -> None:
    import datasets

    names = datasets.ClassLabel(names=["for", "against"])
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": names,
            "tags": datasets.List(datasets.ClassLabel(names=["O", "B-x"])),
        }
    )
    plain = {"text": ["a", "b"], "label": [1, -1], "tags": [[0, 1], []]}
    saved = datasets.Dataset.from_dict(plain, features=features)
    datasets.DatasetDict({"dev": saved}).save_to_disk(str(tmp_path / "set"))
    data = Data(kind="dataset", hub=str(tmp_path / "set"), splits={"validation": Split(name="dev")})
    rows = list(READERS["dataset"](data, "validation"))
    assert [dict(row.values) for row in rows] == [
        {"text": "a", "label": "against", "tags": ["O", "B-x"]},
        {"text": "b", "label": None, "tags": []},
    ]
    assert str(rows[1].where) == f"{tmp_path}/set/dev, row 2"


def test_a_data_set_without_that_split_tells_which_there_are(tmp_path: Path) -> None:
    import datasets

    saved = datasets.Dataset.from_dict({"text": ["a"]})
    datasets.DatasetDict({"training": saved}).save_to_disk(str(tmp_path / "set"))
    data = Data(kind="dataset", hub=str(tmp_path / "set"), splits={"train": Split()})
    with pytest.raises(RequestError, match="Try training"):
        list(READERS["dataset"](data, "train"))


def test_columns_are_sentences_with_empty_lines_between(tmp_path: Path) -> None:
    file = tmp_path / "tags.txt"
    file.write_text("-DOCSTART- -X- O\n\nEU NNP B-ORG\nsays VBZ O\n\n\nno DT O")
    rows = rows_of("columns", file)
    assert [dict(row.values) for row in rows] == [
        {"1": ["EU", "says"], "2": ["NNP", "VBZ"], "3": ["B-ORG", "O"]},
        {"1": ["no"], "2": ["DT"], "3": ["O"]},
    ]
    assert [row.where.number for row in rows] == [3, 7]


def test_squad_rows_are_questions_with_their_context(tmp_path: Path) -> None:
    answers = [{"text": "hills", "answer_start": 4}]
    asked = [
        {"id": "q1", "question": "Where?", "answers": answers},
        {"id": "q2", "question": "Who?", "answers": [], "is_impossible": True},
    ]
    file = tmp_path / "squad.json"
    paragraph = {"context": "the hills", "qas": asked}
    file.write_text(json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]}))
    rows = rows_of("squad", file)
    assert [row.value("question") for row in rows] == ["Where?", "Who?"]
    assert rows[0].value("answers") == {"text": ["hills"], "answer_start": [4]}
    assert rows[1].value("answers.text") == []
    assert str(rows[1].where) == f"{file}, question q2"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"id": "q2", "question": "Who?"}, "question q2 has no answers."),
        ({"id": "q2", "answers": []}, "question q2 has no question."),
        ({"id": "q2", "question": "Who?", "answers": ["a"]}, "question q2 has no list of answers."),
        ({"id": "q2", "question": "Who?", "answers": [{"text": "a"}]}, "q2 has no answer_start."),
        ({"question": "Who?", "answers": []}, "question 2 has no id."),
    ],
)
def test_a_question_of_squad_that_is_not_whole_is_named(
    question: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "squad.json"
    asked = [{"id": "q1", "question": "Where?", "answers": []}, question]
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": asked}]}]}))
    with pytest.raises(RequestError, match=said) as told:
        rows_of("squad", file)
    assert str(file) in str(told.value)


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("csv", "text,label\na,b\na,b,c\n", "line 3 has 3 fields; the first row names 2"),
        ("csv", 'text,label\n"a,b\n', "line 2 is not CSV"),
        ("csv", "text,label,label\na,b,c\n", "first row names a column twice: text, label, label"),
        ("jsonl", '{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
        ("jsonl", '{"text": "a"}\n["a"]\n', "line 2 is no object"),
        ("jsonl", '{"text": "a"}\n' + "[" * 10**5 + "]" * 10**5, "line 2 is not JSON: maximum"),
        ("columns", "a X\nb Y Z\n", "line 2 has 3 columns; the sentence began with 2"),
        ("squad", "{}", "is not SQuAD's JSON"),
        ("squad", "{", "is not JSON"),
        ("parquet", "text", "cannot be read as parquet"),
    ],
)
def test_a_damaged_file_is_told_by_line(kind: str, content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text(content)
    with pytest.raises(RequestError, match=said) as told:
        rows_of(kind, file)
    assert str(file) in str(told.value)


def test_a_row_of_parquet_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    raw = pa.array([b"ok", b"\xff bad", b"ok"])
    texts = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    parquet.write_table(pa.table({"text": texts}), tmp_path / "rows")
    with pytest.raises(RequestError, match="rows, row 2 holds a text that is not UTF-8: invalid"):
        rows_of("parquet", tmp_path / "rows")


def test_another_encoding_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes("text,label\ncafé,a\n".encode("latin-1"))
    with pytest.raises(RequestError, match=r"byte 14 \(0xe9\) is not utf-8"):
        rows_of("csv", file)
    assert rows_of("csv", file, encoding="latin-1")[0].values["text"] == "café"


def test_quotes_can_be_characters_like_others(tmp_path: Path) -> None:
    file = tmp_path / "rows.tsv"
    file.write_text('text\tlabel\n"a\tb\n')
    (row,) = rows_of("csv", file, delimiter="\t", quotes=False)
    assert dict(row.values) == {"text": '"a', "label": "b"}
