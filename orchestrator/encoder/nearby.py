"""An encoder's directory on this node: where it lies on a disk, else a copy for a while.

Workers open it with its weights; whoever only asks whether it fits needs none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.runs.storage import Entry, LocalStorage, Storage, open_storage

_CHUNK_BYTES = 2**24
_SAFE, _PICKLED = ".safetensors", ".bin"
_SMALL = (".json", ".txt", ".model")


@contextmanager
def nearby(uri: str, *, has_weights: bool = True) -> Iterator[Path]:
    """Without weights, a copy has empty files in their place."""
    storage = open_storage(uri)
    if isinstance(storage, LocalStorage):
        yield storage.path()
        return
    with TemporaryDirectory(prefix="orchestrator-encoder-") as scratch:
        folder = Path(scratch)
        for entry in _needed(storage.list()):
            if has_weights or entry.name.endswith(_SMALL):
                _copy(storage, entry, folder)
            else:
                (folder / entry.name).touch()
        yield folder


def _needed(entries: list[Entry]) -> Iterator[Entry]:
    """Pickled weights only where there are no others."""
    files = [entry for entry in entries if not entry.is_dir]
    is_safe = any(entry.name.endswith(_SAFE) for entry in files)
    wanted = (*_SMALL, _SAFE if is_safe else _PICKLED)
    yield from (entry for entry in files if entry.name.endswith(wanted))


def _copy(storage: Storage, entry: Entry, folder: Path) -> None:
    with (folder / entry.name).open("wb") as file:
        for begin in range(0, entry.size_bytes, _CHUNK_BYTES):
            file.write(storage.read(entry.name, start=begin, size=_CHUNK_BYTES))
