from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.read import read_part
from orchestrator.corpus.text.streams import Decoding
from orchestrator.errors import RequestError
from orchestrator.settings.corpus import Undecodable
from tests.corpus.text.reading import a_source, plan, texts

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}
SUFFIXES = pytest.mark.parametrize("suffix", COMPRESSIONS)
TEXT = "".join(f"line {number} of a text\n" for number in range(4))


@SUFFIXES
@given(members=st.lists(st.text("abé\n", max_size=40), min_size=1, max_size=4))
def test_every_member_of_a_compressed_file_is_read(
    tmp_path: Path, suffix: str, members: list[str]
) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(b"".join(COMPRESSIONS[suffix](text.encode()) for text in members))
    lines = [line for line in "".join(members).split("\n") if line.strip()]
    assert texts(a_source(path, layout="paragraphs")) == lines


@SUFFIXES
def test_a_file_cut_anywhere_is_an_error_and_never_a_shorter_text(
    tmp_path: Path, suffix: str
) -> None:
    whole = COMPRESSIONS[suffix](TEXT.encode())
    path = tmp_path / f"a.txt{suffix}"
    (tmp_path / "b.txt").write_text("so that the files are not all empty")
    source = a_source((str(path), str(tmp_path / "b.txt")))
    for cut in {*range(2 * len(whole))} - {len(whole)}:
        path.write_bytes((whole + whole)[:cut])
        with pytest.raises(RequestError) as caught:
            texts(source)
        assert f"{path} ends at byte {cut:,}, in the middle of a" in str(caught.value)


@SUFFIXES
def test_damage_is_an_error_and_padding_is_not(tmp_path: Path, suffix: str) -> None:
    whole = COMPRESSIONS[suffix](TEXT.encode())
    path = tmp_path / f"a.txt{suffix}"
    middle = len(whole) // 2
    for data in (whole + b"garbage behind", whole[:middle] + b"\xff\xff\xff" + whole[middle + 3 :]):
        path.write_bytes(data)
        with pytest.raises(RequestError, match=r"is damaged near byte \d+: .*") as caught:
            texts(a_source(path))
        assert str(path) in str(caught.value)
    path.write_bytes(whole + bytes(64) + whole)
    assert texts(a_source(path)) == [(TEXT + TEXT).removesuffix("\n")]


ENCODED = {
    "utf-8": "aé中😀 ",
    "utf-8-sig": "aé中😀 ",
    "latin-1": "aé ",
    "gbk": "a中国 ",
    "shift_jis": "a日本ソ ",  # its second byte is a backslash
    "utf-16": "aéਊ中😀 ",  # both bytes of one are \n
    "utf-32-be": "aé中😀 ",
    "iso2022_jp": "a日本 ",
    "cp037": "aé ",  # \n is another byte
}


@settings(max_examples=80)
@given(encoding=st.sampled_from(sorted(ENCODED)), data=st.data())
def test_text_is_the_same_in_every_encoding(
    tmp_path: Path, encoding: str, data: st.DataObject
) -> None:
    text = data.draw(st.text(f"{ENCODED[encoding]}\n", min_size=1, max_size=60))
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    part_bytes = data.draw(st.integers(1, 40))
    source = a_source(path, layout="paragraphs", encoding=encoding)
    assert texts(source, part_bytes) == [line for line in text.split("\n") if line.strip()]


BAD = {
    "utf-8": ("aé".encode(), b"\xff"),
    "ascii": (b"ab", b"\xe9"),
    "gbk": ("a中".encode("gbk"), b"\x81\x00"),
    "utf-16-le": ("aé".encode("utf-16-le"), b"\x00\xdc"),
}


@settings(max_examples=50)
@given(
    encoding=st.sampled_from(sorted(BAD)), before=st.integers(0, 30), part_bytes=st.integers(1, 50)
)
def test_bytes_that_are_not_of_the_encoding_are_told_by_their_place(
    tmp_path: Path, encoding: str, before: int, part_bytes: int
) -> None:
    good, bad = BAD[encoding]
    end = "\n".encode(encoding)
    path = tmp_path / "a.txt"
    path.write_bytes((good + end) * before + good + bad + end + (good + end) * 3)
    source = a_source(path, layout="paragraphs", encoding=encoding)
    with pytest.raises(RequestError) as caught:
        texts(source, part_bytes)
    offset = len(good + end) * before + len(good)
    assert f"{path}: byte {offset:,} (0x{bad[0]:02x}) is not {encoding}" in str(caught.value)
    assert "corpus.sources.s0.undecodable=replace" in str(caught.value)
    replaced = texts(replace(source, undecodable=Undecodable.REPLACE), part_bytes)
    assert len(replaced) == before + 4
    assert "\ufffd" in replaced[before]


def test_the_place_of_a_bad_byte_is_that_in_the_decompressed_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a" * 3_000_000 + b"\xff\n"))
    with pytest.raises(RequestError, match=r"a\.txt\.gz: byte 3,000,000 \(0xff\) is not utf-8"):
        texts(a_source(path))


def test_a_bad_byte_behind_half_a_character_is_told_by_its_own_place() -> None:
    origin = Origin(name="s0", source=a_source("a.txt"), uri="a.txt")
    decoding = Decoding(origin, "utf-8")
    assert decoding.decode(b"ab\xe4\xb8", 100) == "ab"
    with pytest.raises(RequestError, match=r"byte 102 \(0xe4\) is not utf-8"):
        decoding.decode(b"(c", 104)


def test_a_text_that_ends_within_a_character_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\né".encode()[:-1])
    with pytest.raises(RequestError, match=r"byte 4 \(0xc3\) is not utf-8: unexpected end"):
        texts(a_source(path))


def test_a_file_that_shrank_since_it_was_planned_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\n" * 10)
    source = a_source(path, layout="blocks")
    (part,) = plan(source)
    path.write_text("one\n")
    with pytest.raises(RequestError, match=r"has 4 bytes; it had at least 40 when"):
        list(read_part(source, part))
