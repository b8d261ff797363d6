"""A corpus where training can read it: copied from an object store once for a node, verified.

Every process of a node calls `ready_corpus` before it opens a corpus; one copies, the others wait.
What was copied stays for the next run until its room is needed. A corpus on a disk is not copied,
its checksums are looked at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from xxhash import xxh3_64_hexdigest, xxh3_128, xxh3_128_hexdigest

from orchestrator.corpus import layout
from orchestrator.corpus.shards.manifest import Manifest, Shard, parse_manifest, read_bytes
from orchestrator.corpus.shards.verify import Tell, copy_tokenizer, find_damages
from orchestrator.errors import StorageError
from orchestrator.runs import disk
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.units import format_bytes

_CHUNK_BYTES = 2**24
_COPIED_AT_ONCE = 8  # shards: one connection does not fill a network
_SHOWN = 10
_KEY = re.compile("[0-9a-f]{32}")


@contextmanager
def ready_corpus(uri: str, *, cache: Path, limit_bytes: int, tell: Tell) -> Iterator[Path]:
    """The folder to open. It stays as it is until the end of the `with` statement."""
    corpus = open_storage(uri)
    data = read_bytes(corpus)
    manifest = parse_manifest(data, corpus.uri_of(layout.MANIFEST))
    key = xxh3_128_hexdigest(data)
    if isinstance(corpus, LocalStorage):
        _verify_once(corpus, manifest, cache, tell)
        yield corpus.path()
        return
    # Lock files are never removed: who waits for one would hold what nobody else sees any more.
    folder = cache / key
    with _locked(_lock_of(folder), fcntl.LOCK_SH):
        if not (folder / layout.MANIFEST).exists():
            with _locked(cache / "copying.lock", fcntl.LOCK_EX):
                if not (folder / layout.MANIFEST).exists():
                    size_bytes = len(data) + manifest.size_bytes + _tokenizer_bytes(corpus)
                    _make_room(folder, size_bytes, limit_bytes)
                    _copy(corpus, manifest, folder, tell)
                    disk.write_whole(folder / layout.MANIFEST, data)
        os.utime(folder)
        try:
            yield folder
        finally:
            os.utime(folder)


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """However the process ends, the lock ends with it."""
    with open_storage(path.parent).explained(path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


# ----- copies


def _copy(corpus: Storage, manifest: Manifest, folder: Path, tell: Tell) -> None:
    """A shard that is there was whole when it got its name: a copy that was killed goes on."""
    for half in folder.rglob(".*"):
        half.unlink()
    (folder / layout.TOKENIZER).mkdir(parents=True, exist_ok=True)
    copy_tokenizer(corpus, folder / layout.TOKENIZER)
    target = open_storage(folder)
    missing = [shard for shard in manifest.shards if not (folder / shard.path).exists()]
    total = manifest.size_bytes
    done = total - sum(shard.size_bytes for shard in missing)
    with ThreadPoolExecutor(_COPIED_AT_ONCE) as pool:
        for shard, _ in zip(
            missing,
            pool.map(lambda shard: _copy_shard(corpus, shard, target), missing),
            strict=True,
        ):
            done += shard.size_bytes
            tell(done, total)


def _copy_shard(corpus: Storage, shard: Shard, target: Storage) -> None:
    checksum = xxh3_128()
    file = target.open_writer(shard.path)
    try:
        for begin in range(0, shard.size_bytes, _CHUNK_BYTES):
            data = corpus.read(shard.path, start=begin, size=_CHUNK_BYTES)
            checksum.update(data)
            file.write(data)
        if checksum.hexdigest() != shard.checksum:
            raise StorageError(
                f"{corpus.uri_of(shard.path)} has checksum {checksum.hexdigest()}, and its "
                f"manifest says {shard.checksum}.",
                hint=f"`orchestrator corpus verify {corpus.uri}` tells what of it is damaged.",
            )
    except BaseException:
        file.abandon()
        raise
    file.close()


def _tokenizer_bytes(corpus: Storage) -> int:
    return sum(entry.size_bytes for entry in corpus.list(layout.TOKENIZER))


# ----- room


@dataclass(frozen=True, kw_only=True)
class _Copy:
    folder: Path
    size_bytes: int
    used: float

    def evict(self) -> bool:
        """Unless a process uses it. Its manifest goes first: half a corpus is none."""
        try:
            with _locked(_lock_of(self.folder), fcntl.LOCK_EX | fcntl.LOCK_NB):
                (self.folder / layout.MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(self.folder)
        except BlockingIOError:
            return False
        return True


def _make_room(folder: Path, size_bytes: int, limit_bytes: int) -> None:
    """Remove the copies that were used longest ago, as many as must go.

    Only the process that copies comes here, so that meanwhile nothing grows.
    """
    cache = folder.parent
    others = [path for path in cache.iterdir() if _KEY.fullmatch(path.name) and path != folder]
    copies = [
        _Copy(folder=path, size_bytes=_size_of(path), used=path.stat().st_mtime) for path in others
    ]
    taken = sum(copy.size_bytes for copy in copies)
    left_to_copy = size_bytes - _size_of(folder)

    def lack(removable: int) -> str | None:
        free = shutil.disk_usage(cache).free
        if size_bytes + taken - removable > limit_bytes:
            is_alone = size_bytes > limit_bytes or not taken
            others = "" if is_alone else f", and others in use hold {format_bytes(taken)}"
            return f"its limit is {format_bytes(limit_bytes)}{others}"
        if left_to_copy > free + removable:
            return f"its disk has {format_bytes(free)} free"
        return None

    for copy in sorted(copies, key=lambda copy: copy.used):
        if lack(0) is None or lack(taken) is not None:
            break  # there is room, or all of it would not be enough
        if copy.evict():
            taken -= copy.size_bytes
    if found := lack(0):
        raise StorageError(
            f"The corpus needs {format_bytes(size_bytes)} in {cache}: {found}.",
            hint="Give the cache more room, or read the corpus from a disk that every node "
            "mounts: nothing is copied then.",
        )


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _size_of(folder: Path) -> int:
    """0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ----- corpora on disks


def _verify_once(corpus: LocalStorage, manifest: Manifest, cache: Path, tell: Tell) -> None:
    """Once for a node: as long as no file is another one, what was right is right."""
    place = str(corpus.path().resolve())
    stamp = cache / f"{xxh3_64_hexdigest(place.encode())}.verified"
    with _locked(_lock_of(stamp), fcntl.LOCK_EX):
        seen = f"{place} {_look_of(corpus, manifest)}".encode()
        if stamp.exists() and stamp.read_bytes() == seen:
            return
        damages = find_damages(corpus, manifest, tell)
        found = [str(damage) for damage in islice(damages, _SHOWN)]
        if found:
            raise StorageError(
                f"{corpus.uri} is not what was prepared: {'; '.join(found)}.",
                hint=f"`orchestrator corpus verify {corpus.uri}` finds all damages.",
            )
        disk.write_whole(stamp, seen)


def _look_of(corpus: LocalStorage, manifest: Manifest) -> str:
    """Changes when a file is written, replaced or moved."""
    checksum = xxh3_128()
    for path in (layout.MANIFEST, *(shard.path for shard in manifest.shards)):
        with corpus.explained(path):
            stat = corpus.path(path).stat()
        checksum.update(f"{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}\n".encode())
    return checksum.hexdigest()
