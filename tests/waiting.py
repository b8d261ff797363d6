"""Waiting for what other processes and threads do, and no longer than that takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(
    holds: Callable[[], bool], what: str, *, timeout_s: float = 60, every_s: float = 0.05
) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(every_s)
