"""Whether a checkpoint is byte for byte what its ranks wrote; all that is not is told in words.

A storage that does not answer is no damage: that error comes through. What one file of a local disk
cannot give is damage, whatever the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from xxhash import xxh3_128, xxh3_128_hexdigest

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import (
    Commit,
    FileRecord,
    RankManifest,
    Torn,
)
from orchestrator.runs.storage import Entry, Storage

Tell = Callable[[int, int], None]  # bytes done, of how many
_CHUNK_BYTES = 2**24
AT_ONCE = 4  # files: more than one processor or connection gives


def silent(done: int, total: int) -> None:
    """For those who watch nothing."""


def read_commit(run: Storage, step: int) -> Commit:
    """Torn or ForeignSchema when it cannot be used, NotFoundError when it is not there."""
    commit = Commit.parse(_read(run, f"{layout.checkpoint(step)}/{layout.COMMIT}"))
    if commit.step != step:
        raise Torn(f"is that of step {commit.step}")
    return commit


def read_ranks(run: Storage, commit: Commit) -> Iterator[RankManifest | str]:
    """In the order of ranks; what is wrong with one in its place."""
    folder = layout.checkpoint(commit.step)
    for rank, checksum in enumerate(commit.ranks):
        name = layout.rank_manifest(rank)
        try:
            data = _read(run, f"{folder}/{name}")
            if (found := xxh3_128_hexdigest(data)) != checksum:
                raise Torn(f"has checksum {found}, and COMMIT says {checksum}")
            yield RankManifest.parse(data)
        except NotFoundError:
            yield f"{name} is missing"
        except Torn as err:
            yield f"{name} {err.message}"


def find_problems(run: Storage, commit: Commit, tell: Tell = silent) -> list[str]:
    """Reads every byte, a chunk of a few files at a time."""
    folder = layout.checkpoint(commit.step)
    ranks = list(read_ranks(run, commit))
    problems = [each for each in ranks if isinstance(each, str)]
    manifests = [each for each in ranks if isinstance(each, RankManifest)]
    there = {entry.name: entry for entry in run.list(folder)}
    files = [(each.rank, *file) for each in manifests for file in each.files.items()]
    look = partial(_look, run, folder, there, _Counter(tell, commit.size_bytes).add)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return problems + [found for found in pool.map(look, files) if found is not None]


def _look(
    run: Storage,
    folder: str,
    there: Mapping[str, Entry],
    add: Callable[[int], None],
    file: tuple[int, str, FileRecord],
) -> str | None:
    rank, name, record = file
    who = f"rank {rank}'s {name}"
    entry = there.get(name)
    if entry is None:
        return f"{who} is missing"
    if entry.is_dir:
        return f"{who} is a folder"
    if entry.size_bytes != record.size_bytes:
        return f"{who} has {entry.size_bytes:,} of {record.size_bytes:,} bytes"
    try:
        found = checksum_of(run, f"{folder}/{name}", add)
    except NotFoundError:
        return f"{who} is missing"
    except Torn as err:
        return f"{who} {err.message}"
    if found != record.checksum:
        return f"{who} has checksum {found}, not {record.checksum}"
    return None


def checksum_of(run: Storage, path: str, add: Callable[[int], None]) -> str:
    checksum = xxh3_128()
    for data in chunks(run, path):
        checksum.update(data)
        add(len(data))
    return checksum.hexdigest()


def chunks(run: Storage, path: str) -> Iterator[bytes]:
    try:
        with closing(run.open_file(path)) as file, run.explained(path):
            while data := file.read(_CHUNK_BYTES):
                yield data
    except StorageError as err:
        raise _torn_if_local(run, err) from err


def _read(run: Storage, path: str) -> bytes:
    try:
        return run.read(path)
    except StorageError as err:
        raise _torn_if_local(run, err) from err


def _torn_if_local(run: Storage, err: StorageError) -> StorageError:
    return Torn(f"cannot be read ({err.message.rstrip('.')})") if run.is_local else err


class _Counter:
    """Adds up for all threads what they have read."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._tell(self._done, self._total)
