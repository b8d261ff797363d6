"""What is written comes back, in any order, and what is damaged does not."""

from __future__ import annotations

import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.corpus.packs.cut import Documents
from orchestrator.corpus.shards.read import ShardedCorpus, open_corpus
from orchestrator.corpus.shards.write import Sizes
from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs.storage import LocalStorage, open_storage
from tests.corpus.packs.synthetic import (
    Lengths,
    ListCorpus,
    a_recipe,
    documents,
    epoch_of,
    filled,
    same,
    seeds,
)
from tests.corpus.shards.synthetic import (
    SENTENCES,
    folders,
    rows_of,
    sizes,
    write_corpus,
    write_shards,
)


def assert_equal(found: Documents, wanted: Documents) -> None:
    for name, values in vars(wanted).items():
        assert np.array_equal(getattr(found, name), values), name
    assert found.word_starts_T.dtype == np.bool_


@settings(max_examples=12)
@given(documents, sizes, st.integers(1, 4), folders, st.data())
def test_rows_come_back_in_any_order_and_as_often_as_asked_for(
    tmp_path: Path,
    sentences: Lengths,
    sizes: Sizes,
    num_parts: int,
    folder: str,
    data: st.DataObject,
) -> None:
    storage = open_storage(tmp_path / folder)
    write_corpus(storage, sentences, sizes=sizes, num_parts=num_parts)
    split = open_corpus(tmp_path / folder).split("train")
    corpus = ListCorpus(sentences)
    assert (split.num_documents, split.num_tokens) == (corpus.num_documents, corpus.num_tokens)
    places = st.integers(0, len(sentences) - 1)
    asked = np.asarray(data.draw(st.lists(places, max_size=40)), np.int64)
    assert_equal(split.read(asked), corpus.read(asked))
    assert_equal(split.read(np.sort(asked)), corpus.read(np.sort(asked)))
    assert_equal(split.read(np.arange(len(sentences))), corpus.all())


@pytest.mark.slow
@settings(max_examples=10)
@given(filled, seeds, folders)
def test_a_stream_of_shards_is_that_of_the_same_documents_in_memory(
    tmp_path: Path, sentences: Lengths, seed: int, folder: str
) -> None:
    write_corpus(open_storage(tmp_path / folder), sentences)
    split = open_corpus(tmp_path / folder).split("train")
    recipe = a_recipe(seed=seed)
    packs, wanted = epoch_of(split, recipe, 1), epoch_of(ListCorpus(sentences), recipe, 1)
    assert len(packs) == len(wanted)
    assert all(same(one, other) for one, other in zip(packs, wanted, strict=True))


@pytest.mark.parametrize("asked", [[5], [0, 1, 2, 3], [7, 3], [2, 2]])
def test_documents_stay_when_the_shards_they_came_from_change(
    tmp_path: Path, asked: list[int]
) -> None:
    shards = write_corpus(open_storage(tmp_path)).shards
    found = open_corpus(tmp_path).split("train").read(np.asarray(asked))
    for shard in shards:
        with open(tmp_path / shard.path, "r+b") as file:
            file.write(b"\xff" * shard.size_bytes)
    assert_equal(found, ListCorpus(SENTENCES).read(np.asarray(asked)))


def test_threads_may_share_a_corpus(tmp_path: Path) -> None:
    write_corpus(open_storage(tmp_path))
    split, corpus = open_corpus(tmp_path).split("train"), ListCorpus(SENTENCES)
    asked = [np.random.default_rng(seed).integers(0, len(SENTENCES), 50) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for found, indices in zip(pool.map(split.read, asked), asked, strict=True):
            assert_equal(found, corpus.read(indices))


def test_tokens_of_two_bytes_are_read_as_such(tmp_path: Path) -> None:
    storage = open_storage(tmp_path)
    manifest = write_corpus(storage)
    wide = rows_of(SENTENCES)
    narrow = replace(wide, tokens_T=wide.tokens_T.astype(np.uint16))
    small = write_shards(storage, [narrow], token_type="uint16")
    train = replace(manifest.splits["train"], shards=tuple(small))
    tokenizer = replace(manifest.tokenizer, token_type="uint16")
    manifest = replace(manifest, tokenizer=tokenizer, splits={"train": train})
    storage.write("manifest.json", manifest.to_json())
    found = open_corpus(tmp_path).split("train").read(np.arange(len(SENTENCES)))
    assert found.tokens_T.dtype == np.uint16
    assert_equal(found, ListCorpus(SENTENCES).all())


def test_a_token_that_does_not_fit_is_refused_and_not_cut(local: LocalStorage) -> None:
    with pytest.raises(TypeError, match="safe"):
        write_shards(local, [rows_of(SENTENCES)], token_type="uint16")


def test_an_empty_split_has_no_document(tmp_path: Path) -> None:
    write_corpus(open_storage(tmp_path))
    split = open_corpus(tmp_path).split("validation")
    assert (split.num_documents, split.num_tokens) == (0, 0)
    assert len(split.read(np.empty(0, np.int64)).tokens_T) == 0


def test_what_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    write_corpus(open_storage(tmp_path))
    corpus = open_corpus(tmp_path)
    with pytest.raises(RequestError, match=r"no split test. It has train, validation"):
        corpus.split("test")
    for asked in (-1, len(SENTENCES)):
        with pytest.raises(IndexError, match=rf"{asked} of {len(SENTENCES)}"):
            corpus.split("train").read(np.asarray([asked]))
    with pytest.raises(NotFoundError, match="holds no prepared corpus"):
        open_corpus(tmp_path / "elsewhere")


def test_missing_and_short_shards_are_all_named_when_a_corpus_is_opened(tmp_path: Path) -> None:
    shards = write_corpus(open_storage(tmp_path)).shards
    (tmp_path / shards[1].path).unlink()
    os.truncate(tmp_path / shards[2].path, 100)
    with pytest.raises(StorageError) as caught:
        open_corpus(tmp_path)
    assert f"{shards[1].path} is missing" in str(caught.value)
    sizes = f"100 bytes, not {shards[2].size_bytes:,}"
    assert f"{shards[2].path} has {sizes}" in str(caught.value)


@pytest.mark.parametrize("column", ["token_offsets", "sentence_offsets", "sentence_values"])
def test_wild_numbers_in_a_shard_are_refused_with_their_place(tmp_path: Path, column: str) -> None:
    shard = write_corpus(open_storage(tmp_path), sizes=Sizes(batch_rows=4)).shards[1]
    data = bytearray((tmp_path / shard.path).read_bytes())
    at = int(shard.batches["begin"][1]) + int(shard.batches[column][1])
    data[at + 4 : at + 8] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / shard.path).write_bytes(data)
    split = open_corpus(tmp_path).split("train")
    with pytest.raises(StorageError, match=rf"{shard.path} is damaged: batch 1, row \d has"):
        split.read(np.arange(len(SENTENCES)))


def test_the_index_of_a_hundred_thousand_batches_is_small(tmp_path: Path) -> None:
    manifest = write_corpus(open_storage(tmp_path), [[1]], num_parts=1)
    shard = manifest.shards[0]
    many = replace(shard, batches=np.repeat(shard.batches, 100_000))
    tracemalloc.start()
    split = ShardedCorpus(tmp_path, (many,), "uint32")
    assert tracemalloc.get_traced_memory()[0] < 10e6
    tracemalloc.stop()
    assert split.num_documents == 100_000
