"""A rank's steps, made ahead by a thread while the device computes.

    with Loader(stream, share_at, cursor, transform=…) as loader:
        for micro_batches, cursor in loader: …

The training loop reads it; `transform` (masks, tensors) runs in the thread, once for each
micro-batch. What the thread meets, the loop meets at the step that it belongs to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, Self, TypeVar

from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.corpus.packs.window import Pack
from orchestrator.errors import RequestError

Batch = TypeVar("Batch")


class Loader(Generic[Batch]):
    """The stream is the thread's alone until the end of the `with` statement."""

    def __init__(
        self,
        stream: Stream,
        share_at: Callable[[int], Share],  # of the step that begins after so many packs
        cursor: Cursor,
        *,
        transform: Callable[[list[Pack]], Batch],
        ahead: int = 2,  # steps in memory beside the one that is computed
    ) -> None:
        if ahead < 1:
            raise RequestError(f"A loader needs room for a step, and ahead={ahead}.")
        self.waited_s = 0.0  # for data, all steps together
        self._stream = stream
        self._share_at = share_at
        self._cursor = cursor
        self._transform = transform
        self._room = threading.Semaphore(ahead)
        self._made: SimpleQueue[tuple[list[Batch], Cursor] | BaseException] = SimpleQueue()
        self._is_open = False
        self._thread = threading.Thread(target=self._run, name="loader", daemon=True)

    def __enter__(self) -> Self:
        self._is_open = True
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._room.release()
        self._thread.join()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[list[Batch], Cursor]:
        """A step's micro-batches, and the cursor of the step after it."""
        if not self._is_open:
            raise RuntimeError("a loader is read inside its with statement")
        begin = time.perf_counter()
        made = self._made.get()
        if isinstance(made, BaseException):
            self._made.put(made)  # who asks again is told again, and does not wait for ever
            raise made
        self._room.release()
        self.waited_s += time.perf_counter() - begin  # for Python's lock too, which is now wanted
        return made

    def _run(self) -> None:
        cursor = self._cursor
        try:
            while self._room.acquire() and self._is_open:
                share = self._share_at(cursor.packs_total)
                packs_AM, cursor = self._stream.step(cursor, share)
                batches = []
                for packs in packs_AM:
                    if not self._is_open:
                        return
                    batches.append(self._transform(packs))
                self._made.put((batches, cursor))
        except BaseException as err:  # any, since otherwise the loop would wait for ever
            self._made.put(err)
