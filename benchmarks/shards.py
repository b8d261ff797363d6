"""How fast shards are written, verified and read: from a cursor to the first pack, on real files.

    python benchmarks/shards.py [--documents 1_000_000] [--folder DIR] [--json FILE]

One process. The documents are those of `benchmarks/corpus.py`; with a mean of 600 tokens a million
of them take 1.4 GB, which stay in the page cache: what is measured is the reader and not a disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from rig.bank import BankCorpus, Row, recipe_of, row

from orchestrator.corpus.packs.order import Order
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.rows import Rows
from orchestrator.corpus.shards.manifest import Manifest, Split, TokenizerRecord, write_manifest
from orchestrator.corpus.shards.read import PreparedCorpus, ShardedCorpus, open_corpus
from orchestrator.corpus.shards.statistics import Statistics
from orchestrator.corpus.shards.verify import find_damages
from orchestrator.corpus.shards.write import ShardWriter
from orchestrator.runs.storage import Storage, open_storage

WINDOW_TOKENS, DOCUMENTS_PER_PART = 2**21, 25_000  # a part of prose is about 64 MiB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10**6)
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        storage = open_storage(name)
        rows = writing(storage, arguments.documents)
        rows += verifying(storage)
        prepared = open_corpus(Path(name))
        rows += [*reading(prepared), *starting(prepared), *remembering(prepared)]
    print(f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}")
    for each in rows:
        bound = f"(must be {each['bound']})" if "bound" in each else ""
        print(f"  {each['figure']:<66} {each['value']:>10,.3g} {each['unit']:<12} {bound}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def writing(storage: Storage, num_documents: int) -> list[Row]:
    bank = BankCorpus(num_documents)
    shards, taken, figures = [], 0.0, Statistics()
    for part, first in enumerate(range(0, num_documents, DOCUMENTS_PER_PART)):
        writer = ShardWriter(storage, "train", part=part, source="bank", token_type="uint16")
        last = min(first + DOCUMENTS_PER_PART, num_documents)
        for begin in range(first, last, 2048):
            rows = rows_of(bank, begin, min(begin + 2048, last))
            figures += Statistics.of(rows, None)
            start = time.perf_counter()
            writer.write(rows)
            taken += time.perf_counter() - start
        start = time.perf_counter()
        shards += writer.close()
        taken += time.perf_counter() - start
    manifest = Manifest(
        name="bank",
        fingerprint="",
        sources={"bank": ""},
        tokenizer=TokenizerRecord(fingerprint="", vocab_size=30_522, token_type="uint16"),
        splits={"train": Split(statistics=figures, shards=tuple(shards))},
    )
    write_manifest(storage, manifest)
    name = f"write {figures.tokens / 1e6:,.0f} M tokens, {len(shards)} shards"
    return [row(name, figures.tokens / taken / 1e6, "M tokens/s")]


def rows_of(bank: BankCorpus, begin: int, end: int) -> Rows:
    documents = bank.read(np.arange(begin, end))
    offsets_D1, ends_N = documents.offsets_D1, documents.sentence_ends_N
    sentences_D1 = np.searchsorted(ends_N, offsets_D1, side="right")
    sentences_D1[0] = 0
    return Rows(
        tokens_T=documents.tokens_T,
        offsets_D1=offsets_D1,
        sentence_ends_N=ends_N - np.repeat(offsets_D1[:-1], np.diff(sentences_D1)),
        sentence_offsets_D1=sentences_D1,
        word_starts_T=documents.word_starts_T,
    )


def verifying(storage: Storage) -> list[Row]:
    manifest = open_corpus(Path(storage.uri)).manifest
    taken = time_of(lambda: list(find_damages(storage, manifest, lambda done, total: None)))
    return [row("verify", manifest.size_bytes / taken / 1e9, "GB/s")]


def reading(prepared: PreparedCorpus) -> list[Row]:
    split = prepared.split("train")
    size = WINDOW_TOKENS * split.num_documents // split.num_tokens
    order = Order(count=split.num_documents, seed=1, epoch=0)
    windows = [np.sort(order.between(at * size, (at + 1) * size)) for at in range(40)]
    first = time_of(lambda: split.read(windows[0]))
    warm = [time_of(lambda window=window: split.read(window)) for window in windows[1:]]
    name = f"read {size:,} documents, 2.1 M tokens"
    return [
        row(f"{name}, the first of a process", 1e3 * first, "ms"),
        row(f"{name}, median of others", 1e3 * statistics.median(warm), "ms", "≤ 15"),
    ]


def starting(prepared: PreparedCorpus) -> list[Row]:
    rows: list[Row] = []
    warm = prepared.split("train")
    for seq_len in (128, 512):
        for name, split_of in (
            ("just opened", lambda: prepared.split("train")),
            ("warm", lambda: warm),
        ):
            taken = [first_pack(split_of(), seq_len, window) for window in range(20, 31)]
            figure = f"cursor to first pack, {warm.num_documents:,} documents, {seq_len}, {name}"
            rows.append(row(figure, 1e3 * statistics.median(taken), "ms", "< 50"))
    return rows


def first_pack(split: ShardedCorpus, seq_len: int, window: int) -> float:
    recipe = recipe_of(BankCorpus(split.num_documents, bank=1), seq_len, Pairing.NONE)
    cursor = Cursor(epoch=1, window=window, pack=7, packs_total=10**6)
    return time_of(lambda: next(Stream(split, recipe).packs(cursor)))


def remembering(prepared: PreparedCorpus) -> list[Row]:
    (shard, *_) = prepared.manifest.splits["train"].shards
    many = replace(shard, batches=np.resize(shard.batches, 100_000))
    tracemalloc.start()
    kept = ShardedCorpus(prepared.folder, (many,), "uint16")
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    name = f"index of 100,000 batches, {kept.num_tokens / 1e9:,.0f} G tokens"
    return [row(name, size / 1e6, "MB", "< 10")]


def time_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
