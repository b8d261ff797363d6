"""The training loop's port in a trial: the loop runs in a thread, and waits after each measurement.

Whoever asks `Live.next` lets it go on to the next measurement, or to its end. So a scheduler
decides between two of them, and a trial that is given up ends at a step, with all threads.
"""

from __future__ import annotations

import gc
import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import OrchestratorError
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import Storage
from orchestrator.tracking.progress import ProgressWriter

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Said:
    """A measurement, or, with an end, the last that is heard of a trial."""

    epochs: float | None = None
    value: float | None = None
    # finished, failed; rested; interrupted, lost, unplaced: it is to go on; refused: none is
    end: str = ""
    reason: str = ""


class TrialPort:
    rank, world, control = 0, 1, None

    def __init__(
        self, run: Storage, *, attempt: int, device: torch.device, live: Live, is_mute: bool = False
    ) -> None:
        """`is_mute`: its measurements are not those of the trial, which has several seeds."""
        self.run, self.attempt, self.device = run, attempt, device
        self._live, self._is_mute = live, is_mute
        self._progress = ProgressWriter(run)
        self._ledger: Ledger | None = None

    def stop_reason(self) -> str | None:
        return self._live.stop_reason

    def show(
        self, name: str, done: float = 0.0, total: float | None = None, unit: str = ""
    ) -> None:
        self._progress.show(name, done, total, unit)

    def beat(self, step: int) -> None: ...

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        if not self._is_mute:
            self._live.measured(step, values)

    def note(self, kind: str, **fields: Any) -> None:
        if self._ledger is None:
            self._ledger = Ledger(self.run, attempt=self.attempt, writer="rank-000")
        self._ledger.record(kind, **fields)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()


class Live:
    """A trial under way: `work` in a thread of its own, a measurement at a time."""

    def __init__(
        self,
        work: Callable[[Live], Said],
        read: Callable[[int, Mapping[str, float]], Said | None],
    ) -> None:
        """`read` makes of a measurement what is said of it; None: it needs no decision."""
        self._work, self._read = work, read
        self._said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._may_go = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self.stop_signal = StopSignal()
        self.is_over = False

    @property
    def has_begun(self) -> bool:
        return self._thread is not None

    @property
    def stop_reason(self) -> str | None:
        return self.stop_signal.reason if self.stop_signal.is_asked else None

    def next(self) -> Said:
        """Blocks until the loop has something to say."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="trial")
            self._thread.start()
        else:
            self._may_go.release()
        return self._said.get()

    def stop(self, reason: str) -> None:
        """At the next step; it does not wait for that."""
        self.stop_signal.ask(reason)

    def close(self, reason: str) -> None:
        """Nobody asks any more: it ends at the next step."""
        self.stop(reason)
        self._may_go.release()
        if self._thread is not None:
            self._thread.join()

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        said = self._read(step, values)
        if said is not None and self.stop_reason is None:
            self._said.put(said)
            self._may_go.acquire()

    def _run(self) -> None:
        try:
            said = self._work(self)
        except Exception as err:  # the border of a trial: the sweep goes on without it
            if not isinstance(err, OrchestratorError):
                traceback.print_exc()
            said = Said(end="failed", reason=_told(err))
        gc.collect()
        import torch  # the sweep itself does without

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.is_over = True
        self._said.put(said)


def _told(err: Exception) -> str:
    if isinstance(err, OrchestratorError):
        return err.message
    return f"{type(err).__name__}: {(str(err).strip().splitlines() or ['no message'])[0]}"
