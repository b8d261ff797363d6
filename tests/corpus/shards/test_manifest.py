from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.corpus.shards.manifest import Split, parse_manifest, read_manifest
from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from tests.corpus.packs.synthetic import Lengths, documents
from tests.corpus.shards.synthetic import write_corpus


@settings(max_examples=10)
@given(documents, st.text(min_size=1, max_size=8))
def test_a_manifest_comes_back_as_it_was_written(
    tmp_path: Path, sentences: Lengths, name: str
) -> None:
    storage = open_storage(tmp_path)
    written = write_corpus(storage, sentences, name=name)
    found = read_manifest(storage)
    assert found == written
    assert found.to_json() == written.to_json() == storage.read("manifest.json")
    for one, other in zip(found.shards, written.shards, strict=True):
        assert np.array_equal(one.batches, other.batches)


def test_a_split_can_travel_as_json(local: LocalStorage) -> None:
    split = write_corpus(local).splits["train"]
    assert Split.from_plain(json.loads(json.dumps(split.to_plain()))) == split


def test_a_batch_takes_little_room(local: LocalStorage) -> None:
    manifest = write_corpus(local)
    plain = json.loads(manifest.to_json())
    assert plain["batch_columns"][:2] == ["checksum", "begin"]
    for shard in plain["splits"]["train"]["shards"]:
        assert all(len(json.dumps(batch)) < 130 for batch in shard["batches"])


def test_a_corpus_is_there_when_its_manifest_is(storage: Storage) -> None:
    storage.write("train/00000-000.arrow", b"half")
    with pytest.raises(NotFoundError, match=r"holds no prepared corpus: manifest.json") as caught:
        read_manifest(storage)
    assert "goes on with what is done" in str(caught.value)


@settings(max_examples=50)
@given(st.data())
def test_any_change_of_a_manifest_is_noticed(local: LocalStorage, data: st.DataObject) -> None:
    if not local.exists("manifest.json"):
        write_corpus(local, [[3], [4, 5]], num_parts=1)
    whole = local.read("manifest.json")
    at = data.draw(st.integers(0, len(whole) - 2))  # a line's end at the end is no matter
    other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[at]))
    cut = whole[:at]
    for damaged in (whole[:at] + bytes([other]) + whole[at + 1 :], cut, cut + whole[at + 1 :]):
        with pytest.raises(RequestError, match=r"is damaged|is not the manifest|has schema"):
            parse_manifest(damaged, "manifest.json")


def test_a_damaged_manifest_says_what_to_do(local: LocalStorage) -> None:
    data = write_corpus(local).to_json()
    for damaged in (data.replace(b'"rows":', b'"rows":1'), data[:-40]):
        with pytest.raises(
            StorageError, match=r"x.json is damaged: .*\n.*prepare the corpus again"
        ):
            parse_manifest(damaged, "x.json")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"schema": "orchestrator.corpus/2"}', r"corpus/2; this installation reads .*corpus/1"),
        (b'{"schema": "orchestrator.corpus/2"}', "the version of orchestrator that prepared"),
        (b'{"schema": "other/1"}', "is not the manifest of a prepared corpus: its schema is other"),
        (b'{"name": "x"}', "its schema is None"),
        (b"[1]", "its schema is None"),
    ],
)
def test_what_another_program_or_version_wrote_is_refused(data: bytes, found: str) -> None:
    with pytest.raises(RequestError, match=found):
        parse_manifest(data, "manifest.json")
