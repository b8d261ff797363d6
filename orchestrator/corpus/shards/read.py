"""A prepared corpus in a local folder, read a window of documents at a time.

Training, `corpus sample` and the audit open one. Thousands of documents from anywhere are gathered
at once, at the places that the manifest names; pyarrow copies the pieces of lists end to end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.corpus import layout
from orchestrator.corpus.arrays import Bools, Int64s, Integers, flat_ranges, offsets
from orchestrator.corpus.packs.cut import Documents
from orchestrator.corpus.packs.mixture import Mixture, Portion
from orchestrator.corpus.shards.manifest import (
    BATCH,
    Batches,
    Manifest,
    Shard,
    read_manifest,
)
from orchestrator.corpus.shards.region import Region
from orchestrator.errors import RequestError, StorageError
from orchestrator.runs.storage import open_storage

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class PreparedCorpus:
    """Use `open_corpus`."""

    folder: Path
    manifest: Manifest

    @property
    def tokenizer(self) -> Path:
        return self.folder / layout.TOKENIZER

    def mixture(self, split: str, weights: Mapping[str, float]) -> Mixture:
        """How often an epoch reads each source; `weights` are those of the settings."""
        rows = dict.fromkeys(self.manifest.sources, 0)
        for shard in self.manifest.splits[split].shards:  # a source's lie together, in this order
            rows[shard.source] += shard.rows
        portions = (
            Portion(num_documents=count, weight=weights[source]) for source, count in rows.items()
        )
        return Mixture(portions=tuple(portions))

    def split(self, name: str) -> ShardedCorpus:
        if name not in self.manifest.splits:
            known = ", ".join(self.manifest.splits)
            raise RequestError(f"{self.folder} has no split {name}. It has {known}.")
        shards = self.manifest.splits[name].shards
        return ShardedCorpus(self.folder, shards, self.manifest.tokenizer.token_type)


def open_corpus(folder: Path) -> PreparedCorpus:
    """Its shards are all there and as large as they were; `verify.py` looks at their bytes."""
    manifest = read_manifest(open_storage(folder))
    wrong = [found for shard in manifest.shards if (found := _wrong(folder, shard))]
    if wrong:
        left = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise StorageError(
            f"{folder} is not whole: {'; '.join(wrong[:_SHOWN] + left)}.",
            hint="Copy it again from where it came, or prepare it again.",
        )
    return PreparedCorpus(folder=folder, manifest=manifest)


def _wrong(folder: Path, shard: Shard) -> str | None:
    try:
        size = os.stat(folder / shard.path).st_size
    except FileNotFoundError:
        return f"{shard.path} is missing"
    if size != shard.size_bytes:
        return f"{shard.path} has {size:,} bytes, not {shard.size_bytes:,}"
    return None


class ShardedCorpus:
    """The documents of one split, numbered through its shards. Threads may share it."""

    def __init__(self, folder: Path, shards: tuple[Shard, ...], token_type: str) -> None:
        self._folder = folder
        self._shards = shards
        self._lock = threading.Lock()  # a thread's files stay mapped while it reads
        self._batches_B = np.concatenate([np.empty(0, BATCH), *(each.batches for each in shards)])
        counts = np.asarray([len(shard.batches) for shard in shards], np.int64)
        self._shards_B = np.repeat(np.arange(len(shards), dtype=np.int32), counts)
        self._first_rows_B1 = offsets(self._batches_B["rows"].astype(np.int64))
        self.num_documents = int(self._first_rows_B1[-1])
        self.num_tokens = int(self._batches_B["tokens"].sum(dtype=np.int64))
        self._region = Region(
            [folder / shard.path for shard in shards], [shard.size_bytes for shard in shards]
        )
        data = self._region.bytes
        self._int32s, self._uint32s = data.view(np.int32), data.view(np.uint32)
        buffers = [None, pa.py_buffer(data)]
        self._token_type = np.dtype(token_type)
        count = len(data) // self._token_type.itemsize
        kind = pa.from_numpy_dtype(self._token_type)
        self._tokens = pa.Array.from_buffers(kind, count, buffers)
        self._bits = pa.Array.from_buffers(pa.bool_(), len(data) * 8, buffers)

    def read(self, indices_D: Int64s) -> Documents:
        """In the order asked for, as often as asked for. What ascends is read fastest."""
        if len(indices_D) and not 0 <= indices_D.min() <= indices_D.max() < self.num_documents:
            raise IndexError(
                f"documents {indices_D.min()} to {indices_D.max()} of {self.num_documents}"
            )
        batches_D = np.searchsorted(self._first_rows_B1, indices_D, side="right") - 1
        shards_D = self._shards_B[batches_D].astype(np.int64)
        chosen = _Chosen(
            numbers_D=batches_D,
            batches_D=self._batches_B[batches_D],
            rows_D=indices_D - self._first_rows_B1[batches_D],
            begins_D=self._region.begins_F[shards_D] + self._batches_B["begin"][batches_D],
        )
        with self._lock:
            self._region.reach(shards_D)
            return self._read(indices_D, chosen)

    def _read(self, indices_D: Int64s, chosen: _Chosen) -> Documents:
        begins_D, lengths_D = self._ranges(chosen, "token")
        firsts_D, counts_D = self._ranges(chosen, "sentence")
        places_N = flat_ranges(chosen.place("sentence_values", 32) + firsts_D, counts_D)
        ends_N = self._uint32s[places_N].astype(np.int64)
        self._refuse_wild_ends(chosen, ends_N, counts_D, lengths_D)
        offsets_D1 = offsets(lengths_D)
        token_bits = 8 * self._token_type.itemsize
        return Documents(
            indices_D=indices_D,
            tokens_T=self._gather_tokens(
                chosen.place("token_values", token_bits) + begins_D, lengths_D
            ),
            word_starts_T=self._gather_bits(
                chosen.place("word_start_bits", 1) + begins_D, lengths_D
            ),
            offsets_D1=offsets_D1,
            sentence_ends_N=ends_N + np.repeat(offsets_D1[:-1], counts_D),
        )

    def _ranges(self, chosen: _Chosen, name: str) -> tuple[Int64s, Int64s]:
        """Where in the batch's values those of a row begin, and how many they are."""
        at_D = chosen.place(f"{name}_offsets", 32) + chosen.rows_D
        begins_D = self._int32s[at_D].astype(np.int64)
        ends_D = self._int32s[at_D + 1].astype(np.int64)
        totals_D = chosen.batches_D[f"{name}s"]
        is_wild_D = (begins_D < 0) | (ends_D < begins_D) | (ends_D > totals_D)
        is_wild_D |= (chosen.rows_D == 0) & (begins_D != 0)
        is_wild_D |= (chosen.rows_D + 1 == chosen.batches_D["rows"]) & (ends_D != totals_D)
        if is_wild_D.any():
            first = int(is_wild_D.argmax())
            found = f"{name}s {begins_D[first]:,} to {ends_D[first]:,} of {totals_D[first]:,}"
            raise self._damage(chosen, first, found)
        return begins_D, ends_D - begins_D

    def _refuse_wild_ends(
        self, chosen: _Chosen, ends_N: Int64s, counts_D: Int64s, lengths_D: Int64s
    ) -> None:
        befores_N = np.zeros_like(ends_N)
        befores_N[1:] = ends_N[:-1]
        befores_N[offsets(counts_D)[:-1][counts_D > 0]] = 0
        is_wild_N = (ends_N < befores_N) | (ends_N > np.repeat(lengths_D, counts_D))
        if is_wild_N.any():
            end = int(is_wild_N.argmax())
            row = int(np.repeat(np.arange(len(counts_D)), counts_D)[end])
            found = f"a sentence from {befores_N[end]:,} to {ends_N[end]:,} of {lengths_D[row]:,}"
            raise self._damage(chosen, row, f"{found} tokens")

    def _damage(self, chosen: _Chosen, number: int, found: str) -> StorageError:
        batch = int(chosen.numbers_D[number])
        shard = int(self._shards_B[batch])
        batch -= int(np.searchsorted(self._shards_B, shard))
        place = f"batch {batch}, row {chosen.rows_D[number]}"
        return StorageError(
            f"{self._folder / self._shards[shard].path} is damaged: {place} has {found}.",
            hint=f"`orchestrator corpus verify {self._folder}` finds all damages.",
        )

    def _gather_tokens(self, begins_D: Int64s, lengths_D: Int64s) -> Integers:
        tokens = _gather(self._tokens, begins_D, lengths_D)
        tokens_T: Integers = np.frombuffer(tokens.buffers()[1], self._token_type)
        tokens_T = tokens_T[tokens.offset :][: len(tokens)]
        # Neighbours come as a view of the file, which may not stay where it is.
        is_view = np.may_share_memory(tokens_T, self._region.bytes)
        return tokens_T.copy() if is_view else tokens_T

    def _gather_bits(self, begins_D: Int64s, lengths_D: Int64s) -> Bools:
        bits = _gather(self._bits, begins_D, lengths_D)
        first, last = bits.offset, bits.offset + len(bits)
        data = np.frombuffer(bits.buffers()[1], np.uint8)[first // 8 : -(-last // 8)]
        flags: Bools = np.unpackbits(data, bitorder="little").view(np.bool_)
        return flags[first % 8 :][: len(bits)]


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The rows that are read, and what the manifest says of the batch of each."""

    numbers_D: Int64s  # of the batch, in the split
    batches_D: Batches
    rows_D: Int64s  # in the batch
    begins_D: Int64s  # of the batch, in the region

    def place(self, column: str, bits: int) -> Int64s:
        """Where an array of the batch begins, counted in values of so many bits."""
        places_D: Int64s = (self.begins_D + self.batches_D[column]) * 8 // bits
        return places_D


def _gather(values: pa.Array, begins_D: Int64s, lengths_D: Int64s) -> pa.Array:
    """Ranges of the values end to end. By measurement: no loop in Python, whatever the lengths."""
    kind = pa.large_list_view(values.type)
    buffers = [None, pa.py_buffer(begins_D), pa.py_buffer(lengths_D)]
    views = pa.Array.from_buffers(kind, len(begins_D), buffers, children=[values])
    return pc.list_flatten(views)
