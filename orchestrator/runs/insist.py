"""For the few words that a run cannot do without: try again while the storage is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from orchestrator.errors import StorageError

T = TypeVar("T")
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0


def insist(action: Callable[[], T], *, for_s: float = 120.0) -> T:
    """What `action` gives; its last StorageError when the storage stays away for that long."""
    deadline = time.monotonic() + for_s
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return action()
        except StorageError:
            if time.monotonic() + wait_s > deadline:
                raise
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
