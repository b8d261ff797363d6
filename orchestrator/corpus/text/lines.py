"""The lines of a span of a file, some at a time: every line belongs to the span that it begins in.

A block is text of whole lines, or a piece of one line too long for it, so that a file of a single
line needs no more memory than any other. `read` and `records` make documents and rows of blocks.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.corpus.text.files import locate
from orchestrator.corpus.text.origin import Origin
from orchestrator.corpus.text.streams import (
    Decoding,
    Meter,
    is_compressed,
    is_divisible,
    stored_chunks,
    transcoded,
    whole_chunks,
)
from orchestrator.errors import RequestError

BLOCK_BYTES = 2**20  # a longer line comes in pieces of at least this size
RECORD_BYTES = 2**28  # the longest line that is a record, for that must be parsed as a whole
BLANK_CHARS = 2**14  # so many of white space still make a blank line, and more do not
_LOOK_BACK_BYTES = 4 * BLANK_CHARS + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    offset: int  # of its first byte in the file, decompressed
    data: bytes
    text: str  # decoded, lines separated by \n, none behind the last
    is_open: bool  # its last line goes on in the next block

    def offset_of(self, line: int) -> int:
        """Where in the file a line of the block begins."""
        at = 0
        for _ in range(line):
            at = self.data.index(b"\n", at) + 1
        return self.offset + at


class LineReader:
    """Bytes to blocks. `position` is the offset of the first byte that was not given out yet."""

    def __init__(
        self,
        chunks: Iterator[bytes],
        decoding: Decoding,
        *,
        position: int = 0,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        self.position = position
        self._chunks = chunks
        self._decoding = decoding
        self._block_bytes = block_bytes
        self._buffer = b""
        self._is_open = False

    def skip_line(self, until: int) -> None:
        """To the beginning of the next line, unless none begins before `until`."""
        while self.position < until and (self._buffer or self._fill()):
            stop = self._buffer.find(b"\n") + 1
            self.position += stop or len(self._buffer)
            self._buffer = self._buffer[stop:] if stop else b""
            if stop:
                return

    def blocks(self, until: int | None) -> Iterator[Block]:
        """The lines that begin before `until`, or all that are left."""
        while until is None or self.position < until or self._is_open:
            stop = self._stop(until)
            while not stop and self._fill():
                stop = self._stop(until)
            is_end = not stop
            data = self._buffer if is_end else self._buffer[:stop]
            if is_end and not data and not self._is_open:
                return
            self._buffer = b"" if is_end else self._buffer[stop:]
            self._is_open = not is_end and not data.endswith(b"\n")
            yield self._block(data)

    def _stop(self, until: int | None) -> int:
        """How much of the buffer is the next block; 0: more is needed to know."""
        if until is not None:
            last = max(until - 1 - self.position, 0)
            if stop := self._buffer.find(b"\n", last) + 1:
                return stop
        if stop := self._buffer.rfind(b"\n") + 1:
            return stop
        if len(self._buffer) < self._block_bytes:
            return 0
        return len(self._buffer) - self._buffer.endswith(b"\r")  # it may be half a line's end

    def _fill(self) -> bool:
        chunk = next(self._chunks, None)
        self._buffer += chunk or b""
        return chunk is not None

    def _block(self, data: bytes) -> Block:
        text = self._decoding.decode(data, self.position, is_final=not self._is_open)
        if self.position == 0:
            text = text.removeprefix("\ufeff")
        if "\r" in text:
            text = text.replace("\r\n", "\n")
        if data.endswith(b"\n"):
            text = text[:-1]
        block = Block(offset=self.position, data=data, text=text, is_open=self._is_open)
        self.position += len(data)
        return block


def can_divide(origin: Origin) -> bool:
    """Whether a reader can begin at any byte of such a file and find the next line."""
    return not is_compressed(origin.uri) and is_divisible(origin.encoding)


def open_lines(origin: Origin, begin: int, end: int | None, meter: Meter) -> LineReader:
    """At the first line that begins at `begin` or behind it."""
    if end is not None:
        chunks = stored_chunks(origin, max(begin - 1, 0), end, meter)
    else:
        chunks = whole_chunks(origin, meter)
    encoding = origin.encoding
    if not is_divisible(encoding):
        chunks, encoding = transcoded(chunks, origin), "utf-8"
    reader = LineReader(chunks, Decoding(origin, encoding), position=max(begin - 1, 0))
    if begin and end is not None:
        reader.skip_line(end)
    return reader


def is_blank(line: str) -> bool:
    return not line or (line.isspace() and len(line) <= BLANK_CHARS)


def follows_blank(origin: Origin, position: int) -> bool:
    """Whether the line that ends at `position` of a divisible file is blank."""
    storage, name = locate(origin.uri)
    begin = max(position - _LOOK_BACK_BYTES, 0)
    before = storage.read(name, start=begin, size=position - begin)
    if begin == 0:
        before = before.removeprefix(codecs.BOM_UTF8)
    line = before.removesuffix(b"\n").rpartition(b"\n")[2]
    return is_blank(line.decode(origin.encoding, errors="replace").removesuffix("\r"))


def whole_lines(
    blocks: Iterator[Block], origin: Origin, limit: int = RECORD_BYTES
) -> Iterator[Block]:
    """Blocks of which none is open, for lines that are records."""
    held: list[Block] = []
    num_bytes = 0
    for block in blocks:
        held.append(block)
        num_bytes += len(block.data)
        if num_bytes > limit + BLOCK_BYTES:
            raise RequestError(
                f"{origin.uri}: the line at byte {held[0].offset:,} is longer than "
                f"{limit:,} bytes, which is the limit of a record.",
                hint=f"Is it of kind={origin.source.kind.value}, with a record on each line?",
            )
        if not block.is_open:
            yield _joined(held)
            held, num_bytes = [], 0


def _joined(held: list[Block]) -> Block:
    if len(held) == 1:
        return held[0]
    return Block(
        offset=held[0].offset,
        data=b"".join(block.data for block in held),
        text="".join(block.text for block in held),
        is_open=False,
    )
