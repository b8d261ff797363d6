"""Corpora of a few documents, written as `prepare` writes them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from orchestrator.corpus.arrays import offsets
from orchestrator.corpus.rows import Rows
from orchestrator.corpus.shards.manifest import (
    Manifest,
    Shard,
    Split,
    TokenizerRecord,
    write_manifest,
)
from orchestrator.corpus.shards.statistics import Statistics
from orchestrator.corpus.shards.write import ShardWriter, Sizes
from orchestrator.runs.storage import Storage
from tests.corpus.packs.synthetic import Lengths, ListCorpus

TINY = Sizes(batch_tokens=40, batch_rows=3, shard_bytes=2000)
# In three parts, these are several shards of several batches.
SENTENCES: Lengths = [[3, 4, 5], [], [40, 30], [1], [0, 2], [7, 7], [9], [11, 2], [5] * 30] * 4

sizes = st.builds(
    Sizes,
    batch_tokens=st.sampled_from([1, 64, 10_000]),
    batch_rows=st.sampled_from([1, 5, 1000]),
    shard_bytes=st.sampled_from([2500, 2**28]),
)
folders = st.integers(0, 2**63).map(str)  # a new one for each example


def rows_of(sentences: Lengths, begin: int = 0, end: int | None = None) -> Rows:
    """Some documents of `ListCorpus(sentences)`."""
    end = len(sentences) if end is None else end
    documents = ListCorpus(sentences).read(np.arange(begin, end))
    counts_D = np.asarray([len(lengths) for lengths in sentences[begin:end]], np.int64)
    return Rows(
        tokens_T=documents.tokens_T,
        offsets_D1=documents.offsets_D1,
        sentence_ends_N=documents.sentence_ends_N - np.repeat(documents.offsets_D1[:-1], counts_D),
        sentence_offsets_D1=offsets(counts_D),
        word_starts_T=documents.word_starts_T,
    )


def write_shards(
    storage: Storage,
    rows: list[Rows],
    *,
    part: int = 0,
    sizes: Sizes = TINY,
    token_type: str = "uint32",
) -> list[Shard]:
    writer = ShardWriter(
        storage, "train", part=part, source="list", token_type=token_type, sizes=sizes
    )
    for some in rows:
        writer.write(some)
    return writer.close()


def write_corpus(
    storage: Storage,
    sentences: Lengths = SENTENCES,
    *,
    sizes: Sizes = TINY,
    num_parts: int = 3,
    name: str = "list",
) -> Manifest:
    bounds = np.linspace(0, len(sentences), num_parts + 1).astype(int).tolist()
    shards: list[Shard] = []
    for part, (begin, end) in enumerate(itertools.pairwise(bounds)):
        rows = rows_of(sentences, begin, end)
        shards += write_shards(storage, [rows], part=part, sizes=sizes)
    storage.write("tokenizer/tokenizer.json", b'{"words": []}')
    manifest = Manifest(
        name=name,
        fingerprint="0123456789abcdef",
        sources={"list": "fedcba9876543210"},
        tokenizer=TokenizerRecord(fingerprint="abcd", vocab_size=2**20, token_type="uint32"),
        splits={
            "train": Split(
                statistics=Statistics.of(rows_of(sentences), None), shards=tuple(shards)
            ),
            "validation": Split(statistics=Statistics(), shards=()),
        },
    )
    write_manifest(storage, manifest)
    return manifest
