"""The bytes of a file as they come: decompressed, and in an encoding whose lines can be found.

All of it streams. The libraries' own readers take a file that ends too early for a whole one (zstd)
or pass over damage behind the first stream (xz), so one loop here drives the bare decoders and
knows of each whether it came to its end. `lines` reads through this.
"""

from __future__ import annotations

import codecs
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import zstandard

from orchestrator.corpus.text.files import locate
from orchestrator.corpus.text.origin import Origin
from orchestrator.errors import RequestError

CHUNK_BYTES = 2**20
_FAR_CHUNK_BYTES = 2**23  # one request each

Meter = Callable[[int], None]  # is told of stored bytes as they are read


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class _Compression:
    name: str
    make: Callable[[], _Decoder]
    slice_bytes: int  # so many bytes become 8 MiB at the very most: what memory is bounded by
    damage: type[Exception]


_COMPRESSIONS = {
    ".gz": _Compression(
        name="gzip", make=lambda: zlib.decompressobj(31), slice_bytes=2**13, damage=zlib.error
    ),
    ".xz": _Compression(
        name="xz",
        make=lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
        slice_bytes=2**10,
        damage=lzma.LZMAError,
    ),
    ".zst": _Compression(
        name="zstd",  # public dumps are written with windows of 2 GiB
        make=lambda: zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj(),
        slice_bytes=2**8,
        damage=zstandard.ZstdError,
    ),
}


def is_compressed(uri: str) -> bool:
    return _compression(uri) is not None


def is_divisible(encoding: str) -> bool:
    """Whether the byte `\\n` is the end of a line wherever it stands, and nothing else is."""
    name = codecs.lookup(encoding).name
    has_state = name.startswith(("iso2022", "hz", "utf-7"))
    return not has_state and "\n".encode(name) == b"\n"


def stored_chunks(origin: Origin, begin: int, end: int | None, meter: Meter) -> Iterator[bytes]:
    """All from `begin` on; the file must still reach to `end`."""
    storage, name = locate(origin.uri)
    size = CHUNK_BYTES if storage.is_local else _FAR_CHUNK_BYTES
    with storage.open_file(name) as file:
        with storage.explained(name):
            num_bytes = file.size()
        if end is not None and num_bytes < end:
            raise RequestError(
                f"{origin.uri} has {num_bytes:,} bytes; it had at least {end:,} when the parts "
                "were planned.",
                hint="Start again, when nothing writes there any more.",
            )
        file.seek(begin)
        while True:
            with storage.explained(name):
                chunk: bytes = file.read(size)
            if not chunk:
                return
            meter(len(chunk))
            yield chunk


def whole_chunks(origin: Origin, meter: Meter) -> Iterator[bytes]:
    """A file from its beginning, decompressed where its name says that it is compressed."""
    chunks = stored_chunks(origin, 0, None, meter)
    compression = _compression(origin.uri)
    if compression is None:
        return chunks
    return _gathered(_decompressed(chunks, compression, origin.uri), CHUNK_BYTES)


def transcoded(chunks: Iterator[bytes], origin: Origin) -> Iterator[bytes]:
    """As UTF-8, from an encoding in which lines cannot be found byte by byte."""
    decoding = Decoding(origin, origin.encoding)
    offset = 0
    for chunk in chunks:
        yield decoding.decode(chunk, offset).encode("utf-8", "surrogatepass")
        offset += len(chunk)
    yield decoding.decode(b"", offset, is_final=True).encode("utf-8", "surrogatepass")


class Decoding:
    """Bytes to text, piece after piece; what is not of the encoding is told by its offset."""

    def __init__(self, origin: Origin, encoding: str) -> None:
        self._origin = origin
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)(
            "replace" if origin.replaces else "strict"
        )

    def decode(self, data: bytes, offset: int, *, is_final: bool = False) -> str:
        """`offset`: of the data in the file. A character may end in the next piece."""
        try:
            return self._decoder.decode(data, is_final)
        except UnicodeDecodeError as err:
            held = len(err.object) - len(data)
            at = offset - held + err.start
            raise RequestError(
                f"{self._origin.uri}: byte {at:,} (0x{err.object[err.start]:02x}) is not "
                f"{self._encoding}: {err.reason}.",
                hint=f"Give the encoding that the file is in ({self._origin.key}.encoding=latin-1, "
                f"…), or {self._origin.key}.undecodable=replace.",
            ) from err


def _compression(uri: str) -> _Compression | None:
    path = uri.partition("?")[0] if "://" in uri else uri
    return _COMPRESSIONS.get(path[path.rfind(".") :].lower())


def _decompressed(chunks: Iterator[bytes], compression: _Compression, uri: str) -> Iterator[bytes]:
    """Every member or frame of a file, one after another; zeros between them are padding."""
    decoder: _Decoder | None = compression.make()  # None: between two members
    offset = 0
    for piece in _slices(chunks, compression.slice_bytes):
        rest = piece
        while rest:
            if decoder is None:
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                decoder = compression.make()
            try:
                yield decoder.decompress(rest)
            except compression.damage as err:
                raise RequestError(
                    f"{uri} is damaged near byte {offset:,}: {err}.",
                    hint=f"It should be {compression.name}, by its name. Copy it again.",
                ) from err
            if not decoder.eof:
                break
            rest, decoder = decoder.unused_data, None
        offset += len(piece)
    if decoder is not None:
        raise RequestError(
            f"{uri} ends at byte {offset:,}, in the middle of a {compression.name} stream.",
            hint="It was cut off while it was written or copied. Copy it again.",
        )


def _slices(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for begin in range(0, len(chunk), size):
            yield chunk[begin : begin + size]


def _gathered(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    held: list[bytes] = []
    num_bytes = 0
    for piece in pieces:
        held.append(piece)
        num_bytes += len(piece)
        if num_bytes >= size:
            yield b"".join(held)
            held, num_bytes = [], 0
    yield b"".join(held)
