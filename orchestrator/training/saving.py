"""Checkpoints while training goes on: a copy in memory, written, checked and committed by a thread.

Every rank writes its own files and says so last; rank 0's thread waits for all of them, makes the
numbers durable that belong to the steps so far, and commits. One checkpoint is under way at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch

from orchestrator.runs.checkpoints import Checkpoints, Commit, Keep
from orchestrator.training.port import WorkerPort


class Saver:
    def __init__(
        self,
        port: WorkerPort,
        keep: Keep,
        *,
        before_commit: Callable[[], None],
        tell: Callable[[Commit], None],
    ) -> None:
        self._port = port
        self._checkpoints = Checkpoints(port.run)
        self._keep = keep
        self._before_commit = before_commit
        self._tell = tell
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._is_over = threading.Event()

    def save(self, step: int, files: dict[str, Any], facts: dict[str, Any]) -> None:
        """Returns at once, or when the one before is done. `facts` are what COMMIT says."""
        self.wait()
        self._thread = threading.Thread(
            target=self._guarded, args=(step, files, facts), name="saver", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Until nothing is under way; raises what went wrong with it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def check(self) -> None:
        """Raises what went wrong with a checkpoint, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def abandon(self) -> None:
        """Training has failed: nobody waits for ranks that will not come."""
        self._is_over.set()

    def _guarded(self, step: int, files: dict[str, Any], facts: dict[str, Any]) -> None:
        try:
            self._write(step, files, facts)
        except BaseException as err:  # told to the loop, which is at its next boundary soon
            self._error = err

    def _write(self, step: int, files: dict[str, Any], facts: dict[str, Any]) -> None:
        port = self._port
        pen = self._checkpoints.open_rank(step, port.rank, attempt=port.attempt)
        for name, content in files.items():
            with pen.open(name) as file:
                torch.save(content, file)
        files.clear()
        pen.finish()
        if port.rank:
            return
        self._checkpoints.wait_for_ranks(
            step, port.world, attempt=port.attempt, should_give_up=self._is_over.is_set
        )
        self._before_commit()
        commit = self._checkpoints.commit(step, world=port.world, attempt=port.attempt, facts=facts)
        self._tell(commit)
        self._checkpoints.retire(self._keep)
