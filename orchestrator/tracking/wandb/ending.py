"""When the forwarder's work ends: the driver's word, and limits on what may never come back.

The driver holds the forwarder's standard input open; its end says that the run is over, or that
the driver died.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Word(Protocol):
    @property
    def follows(self) -> bool:
        """Whether it is still to come."""

    def is_over(self, wait_s: float) -> bool:
        """Waits as long for the word; what is in the folder after it has come is all."""


@dataclass(kw_only=True)
class DriversWord:
    follows: bool  # else what is in the folder is all there will be

    def is_over(self, wait_s: float) -> bool:
        if self.follows:
            readable, _, _ = select.select([0], [], [], wait_s)
            if readable and not os.read(0, 1024):
                self.follows = False
        return not self.follows


@dataclass(kw_only=True)
class PassedOn:
    """To a thread, by the one that hears the driver."""

    follows: bool
    _over: threading.Event = field(default_factory=threading.Event)

    def give(self) -> None:
        self._over.set()

    def is_over(self, wait_s: float) -> bool:
        return self._over.wait(wait_s)


@contextmanager
def within(seconds: float, give_up: Callable[[], None]) -> Iterator[None]:
    """wandb's own limits do not hold when wandb-core dies at a bad moment, such as its birth."""
    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
