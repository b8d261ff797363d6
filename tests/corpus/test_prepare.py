"""From text to shards: nothing is lost, and the bytes are the same whoever makes which part."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.corpus import layout
from orchestrator.corpus.packs.cut import REPEAT
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.errors import RequestError, StorageError
from orchestrator.runs.storage import open_storage
from orchestrator.settings.corpus import Duplicates
from tests.conftest import Disks
from tests.corpus.making import a_corpus, a_document, bytes_of, make, text_of

DOCUMENTS = [a_document(number) for number in range(60)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for third in range(3):
        (folder / f"{third}.txt").write_text(text_of(DOCUMENTS[third * 20 : third * 20 + 20]))
    return folder


@pytest.fixture(scope="module")
def prepared(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("prepared") / "corpus"
    make(a_corpus(source / "*.txt"), str(target))
    return target


def texts_of(folder: Path, split: str) -> list[str]:
    """Each document as its tokens say it."""
    corpus = open_corpus(folder)
    documents = corpus.split(split).read(np.arange(corpus.split(split).num_documents))
    tokenizer = open_tokenizer(corpus.tokenizer)
    bounds = documents.offsets_D1.tolist()
    return [
        tokenizer.decode(documents.tokens_T[begin:end]) for begin, end in itertools.pairwise(bounds)
    ]


def said(text: str) -> str:
    return "".join(text.lower().split())


def test_every_document_is_in_one_split_once(prepared: Path) -> None:
    train, validation = (texts_of(prepared, split) for split in layout.SPLITS)
    assert train and validation
    wanted = sorted(said("".join(lines)) for lines in DOCUMENTS)
    assert sorted(map(said, train + validation)) == wanted


def test_figures_are_those_of_the_text(prepared: Path) -> None:
    manifest = open_corpus(prepared).manifest
    total = manifest.splits["train"].statistics + manifest.splits["validation"].statistics
    assert total.documents == len(DOCUMENTS)
    assert total.sentences == sum(map(len, DOCUMENTS))
    assert total.tokens == sum(shard.tokens for shard in manifest.shards)
    assert total.text_bytes == sum(len("\n".join(lines).encode()) for lines in DOCUMENTS)


def test_other_libraries_open_what_was_made(prepared: Path) -> None:
    from transformers import AutoTokenizer

    shard = next((prepared / "train").iterdir())
    assert Dataset.from_file(str(shard)).column_names == ["tokens", "sentence_ends", "word_starts"]
    tokenizer = AutoTokenizer.from_pretrained(prepared / layout.TOKENIZER)
    assert tokenizer.mask_token == "[MASK]"


@pytest.mark.slow
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_order_of_parts_gives_the_same_bytes(
    source: Path, prepared: Path, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("again")
    rng = np.random.default_rng(seed)

    def shuffled(parts: list) -> list:
        again = parts + parts[:3]  # as after a kill: some are done twice
        return [again[number] for number in rng.permutation(len(again))]

    make(a_corpus(source / "*.txt"), str(target), order=shuffled)
    assert bytes_of(target) == bytes_of(prepared)


@pytest.mark.slow
def test_copies_are_left_out_across_parts_and_counted(source: Path, tmp_path: Path) -> None:
    doubled = tmp_path / "doubled.txt"
    doubled.write_text(text_of(DOCUMENTS + DOCUMENTS[::-1]))
    corpus = a_corpus(doubled, duplicates=Duplicates.EXACT)
    make(corpus, str(tmp_path / "corpus"))
    texts = [said(text) for split in layout.SPLITS for text in texts_of(tmp_path / "corpus", split)]
    assert sorted(texts) == sorted(said("".join(lines)) for lines in DOCUMENTS)


def test_sources_are_mixed_by_their_weights(source: Path, tmp_path: Path) -> None:
    """A source of weight 2 is read twice an epoch; with weights of 1 an epoch is the corpus."""
    alone = a_corpus(source / "0.txt").sources["text"]
    sources = {"two": alone, "one": replace(alone, path=(str(source / "1.txt"),))}
    make(a_corpus("", sources=sources), str(tmp_path / "corpus"))
    corpus = open_corpus(tmp_path / "corpus")
    text, seed = corpus.split("train"), 3
    first = corpus.mixture("train", {"two": 1, "one": 1}).portions[0].num_documents
    mixture = corpus.mixture("train", {"two": 2.0, "one": 1.0})
    reads = mixture.documents(np.arange(mixture.num_reads), seed=seed, epoch=0) % REPEAT
    times = np.bincount(reads, minlength=text.num_documents)
    assert times.tolist() == [2] * first + [1] * (text.num_documents - first)


def test_another_corpus_does_not_go_into_the_same_folder(source: Path, prepared: Path) -> None:
    with pytest.raises(RequestError, match="holds corpus small with settings"):
        make(a_corpus(source / "*.txt", validation_share=0.3), str(prepared))


def test_sources_that_changed_are_refused(tmp_path: Path) -> None:
    file, target = tmp_path / "a.txt", str(tmp_path / "corpus")
    file.write_text(text_of(DOCUMENTS[:5]))
    make(a_corpus(file), target)
    file.write_text(text_of(DOCUMENTS[:6]))
    with pytest.raises(RequestError, match="changed since it was begun: 1 files"):
        make(a_corpus(file), target)


def test_a_full_disk_is_told_and_room_completes_the_corpus(
    source: Path, prepared: Path, disks: Disks
) -> None:
    disk = disks.mount("size=40k")
    corpus, target = a_corpus(source / "*.txt"), disk / "corpus"
    with pytest.raises(StorageError, match="no space left"):
        make(corpus, str(target))
    assert not open_storage(target).exists(layout.MANIFEST)
    disks.remount(disk, "size=4m")
    make(corpus, str(target))
    assert bytes_of(target) == bytes_of(prepared)


def test_a_corpus_of_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n \n\n")
    with pytest.raises(RequestError):
        make(a_corpus(tmp_path / "blank.txt"), str(tmp_path / "corpus"))
