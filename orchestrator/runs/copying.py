"""Files and folders from one storage into another, a piece at a time: weights are large."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.runs.storage import Storage

_CHUNK_BYTES = 2**24


def copy_file(
    source: Storage, target: Storage, name: str, tell: Callable[[int], None] | None = None
) -> None:
    """`tell` gets the bytes of each piece. What is not whole does not appear."""
    writer, at = target.open_writer(name), 0
    try:
        while data := source.read(name, start=at, size=_CHUNK_BYTES):
            writer.write(data)
            at += len(data)
            if tell is not None:
                tell(len(data))
    except BaseException:
        writer.abandon()
        raise
    writer.close()


def copy_folder(source: Storage, target: Storage, *, last: str = "") -> None:
    """In the place of what is there. `last` is the file that says that the folder is whole."""
    target.remove("")
    _copy_into(source, target, last)


def _copy_into(source: Storage, target: Storage, last: str) -> None:
    for entry in sorted(source.list(), key=lambda entry: entry.name == last):
        if entry.is_dir:
            _copy_into(source.child(entry.name), target.child(entry.name), "")
        else:
            copy_file(source, target, entry.name)
