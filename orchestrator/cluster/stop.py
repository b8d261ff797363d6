"""How a stop reaches a driver: a signal, or a `stop_requested` event in the run's folder.

The first word asks for a stop at the next safe point, the second one for a stop now.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopSignal:
    """Set from signal handlers and threads, looked at by whoever waits."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._now = threading.Event()
        self.reason = ""
        self.grace_s: float | None = None  # None: what the job says

    def ask(self, reason: str, *, grace_s: float | None = None) -> None:
        if not self._asked.is_set():
            self.reason = reason
            self.grace_s = grace_s
            self._asked.set()

    def ask_again(self, reason: str) -> None:
        """A repeated Ctrl-C: the first asks, the second means now."""
        if self._asked.is_set():
            self._now.set()
        self.ask(reason)

    @property
    def is_asked(self) -> bool:
        return self._asked.is_set()

    @property
    def is_now(self) -> bool:
        return self._now.is_set()

    def wait(self, timeout_s: float) -> bool:
        return self._asked.wait(timeout_s)


@contextmanager
def stop_on_signals(stop: StopSignal) -> Iterator[None]:
    """SIGINT and SIGTERM ask `stop` while this is open; the handlers before are put back after.

    Signals are the main thread's: where a run is driven in another, that one passes stops on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        # Ray's own stop sends one SIGTERM to every process; only a person repeats Ctrl-C.
        if number == signal.SIGINT:
            stop.ask_again(f"{name} (Ctrl-C)")
        else:
            stop.ask(name)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
