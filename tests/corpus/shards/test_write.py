"""Shards are whole, full, the same each time, and what `datasets` opens."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.corpus.rows import Rows
from orchestrator.corpus.shards.write import ShardWriter, Sizes
from orchestrator.errors import RequestError, StorageError
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from tests.corpus.packs.synthetic import (
    Lengths,
    ListCorpus,
    documents,
)
from tests.corpus.shards.synthetic import (
    SENTENCES,
    TINY,
    folders,
    rows_of,
    sizes,
    write_corpus,
    write_shards,
)

if TYPE_CHECKING:
    from tests.conftest import Disks


@settings(max_examples=12)
@given(documents, sizes, st.lists(st.integers(0, 25)), folders)
def test_the_same_rows_give_the_same_bytes_however_they_come(
    tmp_path: Path, sentences: Lengths, sizes: Sizes, cuts: list[int], folder: str
) -> None:
    whole, cut = open_storage(tmp_path / folder / "1"), open_storage(tmp_path / folder / "2")
    bounds = sorted({0, len(sentences), *(at for at in cuts if at < len(sentences))})
    pieces = [rows_of(sentences, begin, end) for begin, end in itertools.pairwise(bounds)]
    shards = write_shards(whole, [rows_of(sentences)], sizes=sizes)
    again = write_shards(cut, pieces, sizes=sizes)
    assert shards == again
    for one, other in zip(shards, again, strict=True):
        assert np.array_equal(one.batches, other.batches)
        assert whole.read(one.path) == cut.read(other.path)


@settings(max_examples=12)
@given(documents, sizes, folders)
def test_batches_are_as_full_as_they_may_be(
    tmp_path: Path, sentences: Lengths, sizes: Sizes, folder: str
) -> None:
    shards = write_shards(open_storage(tmp_path / folder), [rows_of(sentences)], sizes=sizes)
    batches = [batch for shard in shards for batch in shard.batches]
    lengths = [sum(document) for document in sentences]
    for number, batch in enumerate(batches):
        rows = int(batch["rows"])
        assert rows <= sizes.batch_rows
        assert batch["tokens"] == sum(lengths[:rows])
        assert batch["tokens"] <= sizes.batch_tokens or rows == 1
        lengths = lengths[rows:]
        if number + 1 < len(batches):
            is_full = batch["tokens"] + lengths[0] > sizes.batch_tokens
            assert is_full or rows == sizes.batch_rows
    assert not lengths
    for shard in shards[:-1]:
        last = shard.batches[-1]
        assert last["begin"] + last["size_bytes"] >= sizes.shard_bytes > last["begin"]


def test_datasets_opens_a_shard_as_it_is(tmp_path: Path) -> None:
    from datasets import Dataset

    shards = write_corpus(open_storage(tmp_path)).shards
    rows = [row for shard in shards for row in Dataset.from_file(str(tmp_path / shard.path))]
    corpus = ListCorpus(SENTENCES)
    assert len(rows) == corpus.num_documents
    for number, row in enumerate(rows):
        wanted = corpus.read(np.asarray([number]))
        assert row == {
            "tokens": wanted.tokens_T.tolist(),
            "sentence_ends": wanted.sentence_ends_N.tolist(),
            "word_starts": wanted.word_starts_T.tolist(),
        }


def test_shards_are_the_same_on_every_storage(storage: Storage, tmp_path: Path) -> None:
    manifest = write_corpus(storage)
    here = open_storage(tmp_path / "here")
    assert write_corpus(here) == manifest
    for shard in manifest.shards:
        assert storage.read(shard.path) == here.read(shard.path)


def test_a_shard_is_seen_when_it_is_whole_and_never_when_abandoned(local: LocalStorage) -> None:
    writer = ShardWriter(
        local,
        "train",
        part=7,
        source="list",
        token_type="uint32",
        sizes=replace(TINY, shard_bytes=2**28),
    )
    writer.write(rows_of(SENTENCES))
    assert local.list("train") == []
    writer.abandon()
    assert list(local.path("train").iterdir()) == []
    assert write_shards(local, [rows_of(SENTENCES)], part=7)
    assert [entry.name for entry in local.list("train")][:2] == [
        "00007-000.arrow",
        "00007-001.arrow",
    ]


def test_a_part_without_documents_has_no_shard(local: LocalStorage) -> None:
    assert write_shards(local, []) == []
    assert local.list("train") == []


def test_a_full_disk_ends_a_shard_with_the_numbers_and_leaves_none(disks: Disks) -> None:
    point = disks.mount("size=256k")
    writer = ShardWriter(open_storage(point), "train", part=0, source="list", token_type="uint32")
    rows = rows_of([[2000]] * 100)
    with pytest.raises(StorageError, match=r"train/00000-000.arrow: no space .* wanted, .* free"):
        for _ in range(40):
            writer.write(rows)
    writer.abandon()
    assert list((point / "train").iterdir()) == []


def test_a_document_that_no_row_can_hold_is_refused(local: LocalStorage) -> None:
    count = 2**28 + 1
    rows = Rows(
        tokens_T=np.broadcast_to(np.uint16(1), count),
        offsets_D1=np.asarray([0, count]),
        sentence_ends_N=np.asarray([count]),
        sentence_offsets_D1=np.asarray([0, 1]),
        word_starts_T=np.broadcast_to(np.True_, count),
    )
    with pytest.raises(RequestError, match=r"has 268,435,457 tokens"):
        write_shards(local, [rows])


@pytest.mark.slow
def test_no_more_than_a_batch_is_held(tmp_path: Path) -> None:
    """A shard of 17 MB; a batch is 40 kB."""
    writer = ShardWriter(
        open_storage(tmp_path),
        "train",
        part=0,
        source="list",
        token_type="uint32",
        sizes=Sizes(batch_tokens=10_000),
    )
    rows = rows_of([[100]] * 1000)
    tracemalloc.start()
    for _ in range(40):
        writer.write(rows)
    (shard,) = writer.close()
    assert tracemalloc.get_traced_memory()[1] < shard.size_bytes / 10
    tracemalloc.stop()
