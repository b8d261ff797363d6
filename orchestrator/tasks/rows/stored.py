"""The whole text of a split's files, decompressed. Labelled data is small: a file is read at once.

All readers of files call this.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator

import zstandard

from orchestrator.corpus.text.files import File, find_files, locate
from orchestrator.errors import RequestError
from orchestrator.settings.task import Data


def _unzstd(data: bytes) -> bytes:
    """The library's own reader takes a file that is cut off for a whole one."""
    parts = []
    while data:
        decoder = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
        parts.append(decoder.decompress(data))
        if not decoder.eof:
            raise EOFError("it ends in the middle of a frame")
        data = decoder.unused_data
    return b"".join(parts)


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": _unzstd,
}
_DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


def split_files(data: Data, split: str) -> list[File]:
    key = f"task.data.splits.{split}.path"
    found = {file.uri: file for path in data.splits[split].path for file in find_files(path, key)}
    return list(found.values())


def split_texts(data: Data, split: str) -> Iterator[tuple[str, str]]:
    """Each file's name and its text, with line ends as \\n."""
    for file in split_files(data, split):
        raw = stored_bytes(file.uri)
        try:
            text = raw.decode(data.encoding)
        except UnicodeDecodeError as err:
            raise RequestError(
                f"{file.uri}: byte {err.start:,} (0x{raw[err.start]:02x}) is not {data.encoding}.",
                hint="Give the encoding that the file is in: task.data.encoding=latin-1, …",
            ) from err
        yield file.uri, text.removeprefix("\ufeff").replace("\r\n", "\n")


def stored_bytes(uri: str) -> bytes:
    storage, name = locate(uri)
    raw: bytes = storage.read(name)
    unpack = next((unpack for end, unpack in _UNPACK.items() if name.lower().endswith(end)), None)
    if unpack is None:
        return raw
    try:
        return unpack(raw)
    except _DAMAGE as err:
        raise RequestError(
            f"{uri} cannot be unpacked: {err}.", hint="It may be cut off. Copy it again."
        ) from err
