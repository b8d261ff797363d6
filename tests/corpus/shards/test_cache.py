from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from orchestrator.corpus.shards.cache import ready_corpus
from orchestrator.corpus.shards.manifest import Manifest
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.errors import StorageError
from orchestrator.runs.storage import Storage, open_storage
from tests.corpus.shards.synthetic import SENTENCES, write_corpus

if TYPE_CHECKING:
    from tests.conftest import Disks

PLENTY = 2**30


@dataclass
class Node:
    """One that runs corpora, and what it was told while it got them."""

    cache: Path
    limit_bytes: int = PLENTY
    told: list[tuple[int, int]] = field(default_factory=list)
    running: ExitStack = field(default_factory=ExitStack)

    def start(self, corpus: Storage) -> Path:
        """Goes on using it."""
        return self.running.enter_context(
            ready_corpus(
                corpus.uri,
                cache=self.cache,
                limit_bytes=self.limit_bytes,
                tell=lambda done, total: self.told.append((done, total)),
            )
        )

    def use(self, corpus: Storage) -> Path:
        with self.running:
            return self.start(corpus)

    def copies(self) -> set[str]:
        return {path.parent.name for path in self.cache.glob("*/manifest.json")}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(cache=tmp_path / "cache")


@pytest.fixture
def remote(s3_uri: str) -> Storage:
    return open_storage(s3_uri)


def small(remote: Storage, name: str) -> tuple[Storage, Manifest]:
    """A corpus of one shard."""
    corpus = remote.child(name)
    return corpus, write_corpus(corpus, [[3, 4], [5]], num_parts=1, name=name)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def numbers(path: Path) -> list[int]:
    split = open_corpus(path).split("train")
    tokens: list[int] = split.read(np.arange(split.num_documents)).tokens_T.tolist()
    return tokens


# ----- of object stores


def test_a_corpus_is_copied_whole_and_once(remote: Storage, node: Node) -> None:
    manifest = write_corpus(remote)
    folder = node.use(remote)
    assert numbers(folder) == list(range(10, 10 + sum(map(sum, SENTENCES))))
    assert (open_corpus(folder).tokenizer / "tokenizer.json").read_bytes() == b'{"words": []}'
    for shard in manifest.shards:
        assert (folder / shard.path).read_bytes() == remote.read(shard.path)
    assert node.told[-1] == (manifest.size_bytes, manifest.size_bytes)
    node.told.clear()
    assert node.use(remote) == folder
    assert node.told == []


def test_of_many_that_start_at_once_one_copies(remote: Storage, node: Node) -> None:
    manifest = write_corpus(remote)
    nodes = [Node(cache=node.cache) for _ in range(4)]
    threads = [threading.Thread(target=each.use, args=(remote,)) for each in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(each.told) for each in nodes) == len(manifest.shards)
    assert sum(bool(each.told) for each in nodes) == 1
    assert len(numbers(node.use(remote))) == sum(map(sum, SENTENCES))


@pytest.mark.faults
def test_a_copy_that_was_killed_goes_on_where_it_was(remote: Storage, node: Node) -> None:
    manifest = write_corpus(remote)
    code = (
        "import sys, pathlib\n"
        "from orchestrator.corpus.shards.cache import ready_corpus\n"
        "def tell(done, total):\n"
        "    print(done, flush=True)\n"
        "    sys.stdin.read()\n"
        "cache = pathlib.Path(sys.argv[2])\n"
        f"with ready_corpus(sys.argv[1], cache=cache, limit_bytes={PLENTY}, tell=tell): pass\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, remote.uri, str(node.cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == manifest.shards[0].size_bytes
        waiting = threading.Thread(target=node.use, args=(remote,))
        waiting.start()  # finds that another process copies
        (folder,) = (path for path in node.cache.iterdir() if path.is_dir())
        first = folder / manifest.shards[0].path
        inode = first.stat().st_ino
        (first.parent / ".00009-000.arrow.0a1b2c3d").write_bytes(b"half")
        assert node.copies() == set()
        process.kill()
        waiting.join()
    assert first.stat().st_ino == inode
    assert node.told[-1] == (manifest.size_bytes, manifest.size_bytes)
    assert not list(folder.rglob(".*"))
    assert len(numbers(folder)) == sum(map(sum, SENTENCES))


def test_what_differs_from_its_manifest_is_not_taken(remote: Storage, node: Node) -> None:
    corpus, manifest = small(remote, "a")
    (shard,) = manifest.shards
    data = corpus.read(shard.path)
    for damaged in (data[:-1] + b"x", data[:-1], data + b"x"):
        corpus.write(shard.path, damaged)
        with pytest.raises(StorageError, match=rf"{shard.path}\S* has checksum .* manifest says"):
            node.use(corpus)
        assert not [path for path in node.cache.rglob("*arrow*")]
    corpus.write(shard.path, data)
    assert numbers(node.use(corpus)) == list(range(10, 22))


def test_corpora_used_longest_ago_make_room(remote: Storage, node: Node) -> None:
    (a, _), (b, _), (c, _) = (small(remote, name) for name in "abc")
    first, second = node.use(a), node.use(b)
    node.limit_bytes = 5 * size_of(first) // 2
    assert node.use(a) == first
    third = node.use(c)
    assert node.copies() == {first.name, third.name}
    assert not second.exists()
    assert node.use(b) == second
    assert node.copies() == {third.name, second.name}


def test_a_corpus_in_use_is_not_removed(remote: Storage, node: Node) -> None:
    (a, _), (b, _), (c, _) = (small(remote, name) for name in "abc")
    first, second = node.use(a), node.use(b)
    node.limit_bytes = 5 * size_of(first) // 2
    with node.running:
        node.start(a)
        other = Node(cache=node.cache, limit_bytes=node.limit_bytes)
        third = other.use(c)
        assert node.copies() == {first.name, third.name}
        with other.running:
            other.start(c)
            found = r"needs .* KiB in .*: its limit is .*, and others in use hold .* KiB"
            with pytest.raises(StorageError, match=found):
                Node(cache=node.cache, limit_bytes=node.limit_bytes).use(b)
    assert node.use(b) == second


def test_a_corpus_larger_than_the_cache_is_refused_and_removes_nothing(
    remote: Storage, node: Node
) -> None:
    (a, _), (b, _) = (small(remote, name) for name in "ab")
    kept = node.use(a)
    node.limit_bytes = size_of(kept) - 1
    with pytest.raises(StorageError, match=r"The corpus needs .*: its limit is .* KiB\.\n"):
        node.use(b)
    assert node.copies() == {kept.name}


def test_a_corpus_larger_than_the_disk_is_refused_with_the_numbers(
    remote: Storage, disks: Disks
) -> None:
    write_corpus(remote)
    node = Node(cache=disks.mount("size=4k"))
    with pytest.raises(StorageError, match=r"needs .* KiB in .*: its disk has .* free"):
        node.use(remote)


# ----- on disks


def test_a_corpus_on_a_disk_is_read_where_it_lies_and_verified_once(
    tmp_path: Path, node: Node
) -> None:
    corpus = open_storage(tmp_path / "corpus")
    manifest = write_corpus(corpus)
    assert node.use(corpus) == tmp_path / "corpus"
    assert node.told[-1] == (manifest.size_bytes, manifest.size_bytes)
    node.told.clear()
    node.use(corpus)
    assert node.told == []
    os.utime(tmp_path / "corpus" / manifest.shards[1].path)
    node.use(corpus)
    assert node.told[-1] == (manifest.size_bytes, manifest.size_bytes)
    assert node.copies() == set()


def test_a_damaged_corpus_on_a_disk_is_refused_each_time(tmp_path: Path, node: Node) -> None:
    corpus = open_storage(tmp_path / "corpus")
    manifest = write_corpus(corpus)
    node.use(corpus)
    path = manifest.shards[1].path
    data = corpus.read(path)
    corpus.write(path, data[:-1] + b"x")
    for _ in range(2):
        with pytest.raises(StorageError, match=rf"not what was prepared: {path} is damaged: end"):
            node.use(corpus)
    corpus.write(path, data)
    node.use(corpus)
