"""Scratch folders of drivers and attempts on their own node, gone with them even after kill -9.

Each is locked by the process that made it. A lock ends with its process, so whoever makes the next
folder can tell which old ones are nobody's, and removes them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "orchestrator-scratch-"
_LOCK = ".lock"
_MINE: set[Path] = set()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _MINE.add(folder)
        yield folder
    finally:
        _MINE.discard(folder)
        shutil.rmtree(folder, ignore_errors=True)  # before the lock goes
        os.close(descriptor)
        sweep()  # what a killed attempt left to its driver


def abandon() -> None:
    """For a process that is about to leave without unwinding: its own folders too."""
    for folder in _MINE:
        shutil.rmtree(folder, ignore_errors=True)
    sweep()


def sweep() -> None:
    """Remove the folders of processes that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:  # another user's, or being made at this moment
            continue
        with suppress(BlockingIOError):  # its process lives
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
