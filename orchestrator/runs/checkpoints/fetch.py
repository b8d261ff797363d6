"""A checkpoint's files where a rank can open them: as they lie on a disk, else a checked copy."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xxhash import xxh3_128

from orchestrator.errors import NotFoundError, StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import Commit, FileRecord, RankManifest
from orchestrator.runs.checkpoints.verify import AT_ONCE, chunks, read_ranks
from orchestrator.runs.storage import LocalStorage, Storage, open_storage


def fetch(run: Storage, commit: Commit, folder: Path, wants: Callable[[str], bool]) -> Path:
    """The folder to read from: `folder`, or on a disk the checkpoint's own, to be left as it is."""
    source = layout.checkpoint(commit.step)
    if isinstance(run, LocalStorage):
        return run.path(source)
    files: dict[str, FileRecord] = {}
    for each in read_ranks(run, commit):
        if not isinstance(each, RankManifest):
            raise StorageError(f"{run.uri_of(source)} is torn: {each}.")
        files |= each.files
    chosen = {name: record for name, record in files.items() if wants(name)}
    folder.mkdir(parents=True, exist_ok=True)
    target = open_storage(folder)

    def copy(name: str) -> None:
        _copy(run, f"{source}/{name}", chosen[name], target)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(copy, chosen))
    return folder


def _copy(run: Storage, path: str, record: FileRecord, target: Storage) -> None:
    checksum, size_bytes = xxh3_128(), 0
    file = target.open_writer(path.rpartition("/")[2])
    try:
        for data in chunks(run, path):
            checksum.update(data)
            size_bytes += len(data)
            file.write(data)
        if (size_bytes, checksum.hexdigest()) != (record.size_bytes, record.checksum):
            raise StorageError(
                f"{run.uri_of(path)} is torn: {size_bytes:,} bytes with checksum "
                f"{checksum.hexdigest()}; written were {record.size_bytes:,} with "
                f"{record.checksum}."
            )
    except NotFoundError as err:
        file.abandon()
        raise StorageError(f"{run.uri_of(path)} is missing, so its checkpoint is torn.") from err
    except BaseException:
        file.abandon()
        raise
    file.close()
