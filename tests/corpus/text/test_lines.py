from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.corpus.text.lines import Block, LineReader, whole_lines
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.streams import Decoding
from orchestrator.errors import RequestError
from tests.corpus.text.reading import a_source

ORIGIN = Origin(name="s0", source=a_source("a.txt", "jsonl"), uri="a.txt")
CONTENTS = st.text("ab é中😀\n\r", max_size=60).map(str.encode)


def a_reader(content: bytes, sizes: list[int], block_bytes: int) -> LineReader:
    """Over bytes that come in pieces of the sizes given, one after another and again."""

    def chunks() -> Iterator[bytes]:
        at = number = 0
        while at < len(content):
            yield content[at : at + sizes[number % len(sizes)]]
            at, number = at + sizes[number % len(sizes)], number + 1

    return LineReader(chunks(), Decoding(ORIGIN, "utf-8"), block_bytes=block_bytes)


def text_of(blocks: list[Block]) -> str:
    return "".join(block.text + "\n" * (not block.is_open) for block in blocks)


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=3)


@given(
    content=CONTENTS,
    sizes=SIZES,
    block_bytes=st.integers(2, 20),
    share=st.floats(0, 1),
)
@example(content=b"long\r\n", sizes=[5], block_bytes=2, share=1)
def test_blocks_are_the_text_however_its_bytes_come(
    content: bytes, sizes: list[int], block_bytes: int, share: float
) -> None:
    """And those before any offset are the lines that begin before it."""
    until = round(share * len(content))
    reader = a_reader(content, sizes, block_bytes)
    own, beyond = list(reader.blocks(until)), list(reader.blocks(None))
    after = content.find(b"\n", until - 1) + 1 if until else 0
    cut = after or (len(content) if until else 0)
    for blocks, part in ((own, content[:cut]), (beyond, content[cut:])):
        assert b"".join(block.data for block in blocks) == part
        text = part.decode().replace("\r\n", "\n")
        assert text_of(blocks) == (f"{text}\n" if text and not part.endswith(b"\n") else text)
    for block in own + beyond:
        assert content[block.offset :].startswith(block.data)
        assert not (block.is_open and b"\n" in block.data)


@given(content=CONTENTS, sizes=SIZES, block_bytes=st.integers(2, 20))
def test_whole_lines_know_their_place(content: bytes, sizes: list[int], block_bytes: int) -> None:
    reader = a_reader(content, sizes, block_bytes)
    for block in whole_lines(reader.blocks(None), ORIGIN):
        assert not block.is_open
        for number, line in enumerate(block.text.split("\n")):
            begin = block.offset_of(number)
            assert content[begin:].decode().replace("\r\n", "\n").startswith(line)
            assert begin == 0 or content[begin - 1 : begin] == b"\n"


def test_a_line_too_long_for_a_record_is_told_by_its_place() -> None:
    reader = a_reader(b"{}\n" + b"x" * 3_000_000 + b"\n{}\n", [2**20], 2**20)
    with pytest.raises(RequestError, match=r"a\.txt: the line at byte 3 is longer than 100 bytes"):
        list(whole_lines(reader.blocks(None), ORIGIN, limit=100))
