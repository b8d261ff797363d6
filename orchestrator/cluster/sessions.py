"""Processes by the session of the operating system that they belong to.

What we start leads a session of its own, so that ending it ends all that it started and no more.
"""

from __future__ import annotations

import os

import psutil


def others_in_session(leader: int) -> list[psutil.Process]:
    """The leader itself is left out: whoever waits for it wants its exit code."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != leader and os.getsid(process.pid) == leader:
                found.append(process)
        except OSError:
            continue
    return found


def end(processes: list[psutil.Process], *, grace_s: float) -> None:
    """Those that are still there after the grace are killed."""
    _, left = psutil.wait_procs(processes, timeout=grace_s)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=5)
