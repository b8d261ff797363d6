"""One rank's files of one checkpoint, written while their checksums are taken.

`Checkpoints.open_rank` makes one. Nothing is read back and nothing is held in memory; the rank's
manifest comes last, and without it none of the files counts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from xxhash import xxh3_128

from orchestrator.errors import OrchestratorError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import FileRecord, RankManifest
from orchestrator.runs.storage import Storage
from orchestrator.runs.writer import FileWriter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 2**24
_BUFFER_BYTES = 2**20  # pickles are written in pieces of a few bytes
_FILE = re.compile(r"\w[\w.-]*")


class RankFiles:
    def __init__(self, run: Storage, *, step: int, rank: int, attempt: int) -> None:
        self._run = run
        self._step, self._rank, self._attempt = step, rank, attempt
        self._folder = layout.checkpoint(step)
        self._files: dict[str, FileRecord] = {}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Written forward only. An error takes all that this rank has written with it."""
        if not _FILE.fullmatch(name) or layout.is_of_catalogue(name) or name in self._files:
            raise ValueError(f"{name!r} is no name for a further file of a checkpoint")
        sink = _Sink(self._run.open_writer(f"{self._folder}/{name}"))
        buffered = io.BufferedWriter(sink, _BUFFER_BYTES)
        try:
            yield buffered
            buffered.flush()
            sink.keep()
        except BaseException as err:
            sink.drop()
            self.abandon()
            if sink.error is not None and sink.error is not err:
                # torch wraps what a full disk says in a sentence about positions.
                raise sink.error from err
            raise
        finally:
            buffered.close()
        self._files[name] = sink.record

    def finish(self) -> None:
        """From here on this rank's part is there."""
        manifest = RankManifest(
            step=self._step, rank=self._rank, attempt=self._attempt, files=self._files
        )
        self._run.write(f"{self._folder}/{layout.rank_manifest(self._rank)}", manifest.to_json())

    def abandon(self) -> None:
        """Files without a manifest count for nothing, but they take room."""
        with suppress(StorageError):
            for name in self._files:
                self._run.remove(f"{self._folder}/{name}")
        self._files.clear()


class _Sink(io.RawIOBase):
    """Sums up what goes through it. After an error it swallows: writers write on as they close."""

    def __init__(self, file: FileWriter) -> None:
        self._file = file
        self._checksum = xxh3_128()
        self._size_bytes = 0
        self._is_over = False
        self.error: OrchestratorError | None = None

    @property
    def record(self) -> FileRecord:
        return FileRecord(size_bytes=self._size_bytes, checksum=self._checksum.hexdigest())

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data).cast("B")
        if self._is_over:
            return len(view)
        piece = view[:_CHUNK_BYTES]
        self._checksum.update(piece)
        self._size_bytes += len(piece)
        try:
            self._file.write(piece)
        except OrchestratorError as err:
            self._is_over, self.error = True, err
            raise
        return len(piece)

    def keep(self) -> None:
        self._is_over = True
        self._file.close()

    def drop(self) -> None:
        self._is_over = True
        self._file.abandon()
