from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.corpus.shards.manifest import Manifest, Shard
from orchestrator.corpus.shards.verify import find_damages, find_tokenizer_damage
from orchestrator.errors import RequestError
from orchestrator.runs.storage import LocalStorage, Storage
from tests.corpus.shards.synthetic import write_corpus


def damages(storage: Storage, manifest: Manifest) -> list[str]:
    return [str(damage) for damage in find_damages(storage, manifest, lambda done, total: None)]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def place_of(shard: Shard, at: int) -> str:
    """Told from the sizes alone."""
    if at < shard.batches["begin"][0]:
        return "header"
    for number, batch in enumerate(shard.batches):
        if at < batch["begin"] + batch["size_bytes"]:
            return f"batch {number}"
    return "end"


def test_a_whole_corpus_has_no_damage_and_tells_how_far_it_is(storage: Storage) -> None:
    manifest = write_corpus(storage)
    told: list[int] = []
    assert not list(find_damages(storage, manifest, lambda done, _: told.append(done)))
    assert told == sorted(told)
    assert told[-1] == manifest.size_bytes


def test_a_flipped_byte_is_found_wherever_it_is(local: LocalStorage) -> None:
    manifest = write_corpus(local, [[3, 4], [40], [2], [1, 1]], num_parts=1)
    (shard,) = manifest.shards
    for at in range(0, shard.size_bytes, 31):
        flip(local.path(shard.path), at)
        (found,) = damages(local, manifest)
        assert found.startswith(f"{shard.path} is damaged: {place_of(shard, at)} (bytes ")
        flip(local.path(shard.path), at)
    assert not damages(local, manifest)


def test_every_piece_of_a_shard_has_its_damage(local: LocalStorage) -> None:
    manifest = write_corpus(local, [[3, 4], [40], [2], [1, 1]], num_parts=1)
    shard = manifest.shards[0]
    assert len(shard.batches) > 1
    begins = [0, *shard.batches["begin"].tolist(), shard.size_bytes - 1]
    for at in begins:
        flip(local.path(shard.path), at)
    found = damages(local, manifest)
    assert len(found) == len(begins)
    for at, damage in zip(begins, found, strict=True):
        assert place_of(shard, at) in damage


def test_all_damages_are_told_and_not_only_the_first(local: LocalStorage) -> None:
    manifest = write_corpus(local)
    first, second, third, *_ = manifest.shards
    flip(local.path(first.path), first.size_bytes - 1)
    local.path(second.path).unlink()
    os.truncate(local.path(third.path), 7)
    found = damages(local, manifest)
    assert len(found) == 3
    assert found[0].startswith(f"{first.path} is damaged: end (bytes")
    assert found[1] == f"{second.path} is missing"
    assert found[2] == f"{third.path} has 7 bytes, not {third.size_bytes:,}"


def test_the_tokenizer_must_be_the_one_of_the_manifest(storage: Storage) -> None:
    manifest = write_corpus(storage)

    def fingerprint_of(folder: Path) -> str:
        content = (folder / "tokenizer.json").read_bytes()
        if not content:
            raise RequestError("it is empty")
        return "abcd" if content == b'{"words": []}' else "0000"

    assert find_tokenizer_damage(storage, manifest, fingerprint_of) is None
    for content, found in ((b"{}", "has fingerprint 0000, not abcd"), (b"", "cannot be opened")):
        storage.write("tokenizer/tokenizer.json", content)
        damage = find_tokenizer_damage(storage, manifest, fingerprint_of)
        assert found in str(damage)


@pytest.mark.parametrize("size", [0, 1])
def test_a_shard_of_another_size_is_one_damage(local: LocalStorage, size: int) -> None:
    manifest = write_corpus(local, [[3]], num_parts=1)
    os.truncate(local.path(manifest.shards[0].path), size)
    assert len(damages(local, manifest)) == 1
