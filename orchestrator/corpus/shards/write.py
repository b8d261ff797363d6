"""Rows → the shards of one part of a corpus. The same rows give the same bytes, however they come.

`prepare` writes each part with a writer of its own. No more than one batch is in memory; what is
written of a shard is seen by nobody until all of it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_64_hexdigest, xxh3_128

from orchestrator.corpus.arrays import offsets
from orchestrator.corpus.rows import Rows
from orchestrator.corpus.shards.manifest import BATCH, Shard
from orchestrator.corpus.shards.message import END, encode, header, schema_of
from orchestrator.errors import RequestError
from orchestrator.runs.storage import Storage
from orchestrator.runs.writer import FileWriter

_LONGEST = 2**28  # so that the numbers of a batch stay below 2^32


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a batch holds at most, unless one document is longer; when a shard is full."""

    batch_tokens: int = 2**21
    batch_rows: int = 2**16
    shard_bytes: int = 2**28


_USUAL = Sizes()


class ShardWriter:
    """Ends with `close` or `abandon`."""

    def __init__(
        self,
        storage: Storage,
        split: str,
        *,
        part: int,
        source: str,
        token_type: npt.DTypeLike,
        sizes: Sizes = _USUAL,
    ) -> None:
        self._storage = storage
        self._name = f"{split}/{part:05d}"
        self._source = source
        self._token_type = token_type
        self._schema = schema_of(token_type)
        self._sizes = sizes
        self._waiting: list[Rows] = []
        self._num_tokens = 0
        self._num_rows = 0
        self._open: _OpenShard | None = None
        self._shards: list[Shard] = []

    def write(self, rows: Rows) -> None:
        """A batch is written when the next document does not fit into it, and not before."""
        longest = int(np.diff(rows.offsets_D1).max(initial=0))
        if longest > _LONGEST:
            raise RequestError(
                f"A document of source {self._source} has {longest:,} tokens; a row has at most "
                f"{_LONGEST:,}.",
                hint="Divide it into several documents.",
            )
        at = 0
        while at < len(rows):
            end = self._fitting(rows, at)
            if end > at:
                self._add(_part(rows, at, end))
            if end < len(rows):
                self._write_batch()
            at = end

    def close(self) -> list[Shard]:
        """All shards of the part; none where it has no document."""
        self._write_batch()
        self._close_shard()
        return self._shards

    def abandon(self) -> None:
        if self._open is not None:
            self._open.file.abandon()

    def _fitting(self, rows: Rows, at: int) -> int:
        """The end of the documents from `at` on that the batch has room for, one at least."""
        room = self._sizes.batch_tokens - self._num_tokens
        limit = rows.offsets_D1[at] + room
        end = int(np.searchsorted(rows.offsets_D1, limit, side="right")) - 1
        end = min(end, at + self._sizes.batch_rows - self._num_rows)
        return max(end, at + (self._num_rows == 0))

    def _add(self, rows: Rows) -> None:
        self._waiting.append(rows)
        self._num_tokens += len(rows.tokens_T)
        self._num_rows += len(rows)

    def _write_batch(self) -> None:
        if not self._num_rows:
            return
        message = encode(_join(self._waiting, self._token_type), self._schema)
        self._waiting, self._num_tokens, self._num_rows = [], 0, 0
        if self._open is None:
            path = f"{self._name}-{len(self._shards):03d}.arrow"
            self._open = _OpenShard(path=path, file=self._storage.open_writer(path))
            self._open.add(header(self._schema))
        self._open.batches.append({"begin": self._open.size_bytes, **message.figures})
        self._open.add(message.data)
        if self._open.size_bytes >= self._sizes.shard_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._open is None:
            return
        self._open.add(memoryview(END))
        self._open.file.close()
        rows = [tuple(batch[name] for name in BATCH.names or ()) for batch in self._open.batches]
        batches = np.array(rows, BATCH)
        shard = Shard(
            path=self._open.path,
            source=self._source,
            rows=int(batches["rows"].sum()),
            tokens=int(batches["tokens"].sum()),
            sentences=int(batches["sentences"].sum()),
            size_bytes=self._open.size_bytes,
            header_checksum=xxh3_64_hexdigest(header(self._schema)),
            checksum=self._open.checksum.hexdigest(),
            batches=batches,
        )
        self._shards.append(shard)
        self._open = None


@dataclass(kw_only=True)
class _OpenShard:
    path: str
    file: FileWriter
    size_bytes: int = 0
    checksum: xxh3_128 = field(default_factory=xxh3_128)
    batches: list[dict[str, int]] = field(default_factory=list)

    def add(self, data: memoryview) -> None:
        self.file.write(data)
        self.checksum.update(data)
        self.size_bytes += len(data)


def _part(rows: Rows, begin: int, end: int) -> Rows:
    tokens = slice(rows.offsets_D1[begin], rows.offsets_D1[end])
    sentences = slice(rows.sentence_offsets_D1[begin], rows.sentence_offsets_D1[end])
    return Rows(
        tokens_T=rows.tokens_T[tokens],
        offsets_D1=rows.offsets_D1[begin : end + 1] - tokens.start,
        sentence_ends_N=rows.sentence_ends_N[sentences],
        sentence_offsets_D1=rows.sentence_offsets_D1[begin : end + 1] - sentences.start,
        word_starts_T=rows.word_starts_T[tokens],
    )


def _join(parts: list[Rows], token_type: npt.DTypeLike) -> Rows:
    tokens = [part.tokens_T for part in parts]
    return Rows(
        tokens_T=np.concatenate(tokens, dtype=token_type, casting="safe"),
        offsets_D1=offsets(np.concatenate([np.diff(part.offsets_D1) for part in parts])),
        sentence_ends_N=np.concatenate([part.sentence_ends_N for part in parts]),
        sentence_offsets_D1=offsets(
            np.concatenate([np.diff(part.sentence_offsets_D1) for part in parts])
        ),
        word_starts_T=np.concatenate([part.word_starts_T for part in parts]),
    )
