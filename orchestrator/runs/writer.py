"""One file written piece by piece, which nobody sees before it is whole.

`Storage.open_writer` makes one: shards are too large to be held in memory and written at once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from pyarrow import fs


class Half(Protocol):
    """A file that is kept or dropped in the end; `disk.HalfFile` is one on a local disk."""

    def write(self, data: bytes | memoryview) -> None: ...
    def keep(self) -> None: ...
    def drop(self) -> None: ...


class Explained(Protocol):
    def __call__(self, *, wanted: int) -> AbstractContextManager[None]: ...


class FileWriter:
    """Ends with `close` or `abandon`; an error abandons it."""

    def __init__(self, open_half: Callable[[], Half], explained: Explained) -> None:
        self._explained = explained
        with explained(wanted=0):
            self._half = open_half()

    def write(self, data: bytes | memoryview) -> None:
        self._do(lambda: self._half.write(data), wanted=len(data))

    def close(self) -> None:
        self._do(self._half.keep, wanted=0)

    def abandon(self) -> None:
        self._half.drop()

    def _do(self, act: Callable[[], None], *, wanted: int) -> None:
        try:
            with self._explained(wanted=wanted):
                act()
        except BaseException:
            self.abandon()
            raise


class Upload:
    """To an object store, which shows a file when its last piece has come."""

    def __init__(self, filesystem: fs.FileSystem, at: str) -> None:
        self._fs = filesystem
        self._at = at
        # Without a word, pyarrow would compress what a name like x.gz says is compressed.
        self._stream = filesystem.open_output_stream(at, compression=None)

    def write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)

    def keep(self) -> None:
        self._stream.close()

    def drop(self) -> None:
        """pyarrow can end an upload in one way only, so half a file is there for a moment."""
        if not self._stream.closed:
            with suppress(OSError):
                self._stream.close()
            with suppress(OSError):
                self._fs.delete_file(self._at)
