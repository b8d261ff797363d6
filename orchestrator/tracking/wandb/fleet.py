"""A run and the runs inside of it, forwarded side by side by one process.

Each has a W&B run, an order of rows and a report of its own. A trial is followed from its first
figure to its end, then its session is closed; what comes later opens it again.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import LedgerReader
from orchestrator.runs.state import Status
from orchestrator.tracking.wandb.ending import DriversWord, PassedOn, Word
from orchestrator.tracking.wandb.feed import num_bytes_read
from orchestrator.tracking.wandb.forward import Forwarding
from orchestrator.tracking.wandb.part import Fates, Part, Parts
from orchestrator.tracking.wandb.report import Report, Standing, read_report, write_report

_MOST_AT_ONCE = 16  # sessions
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 600.0
_TRIES_AT_END = 2
_REST_S = 0.2
_RARELY = 15  # looks from one to the next at parts that are through
_SHOWN = 3

Make = Callable[[Part | None, Word, Callable[[], Status]], Forwarding]


@dataclass(kw_only=True)
class _Job:
    """A forwarding in a thread of its own."""

    word: PassedOn
    num_bytes: int = 0  # of its metrics when it was told to end: all of these are sent
    report: Report | None = None
    error: Exception | None = None
    _thread: threading.Thread | None = None

    def start(self, make: Callable[[], Forwarding]) -> None:
        self._thread = threading.Thread(target=self._run, args=(make,), daemon=True)
        self._thread.start()

    def join(self) -> Report:
        assert self._thread is not None
        self._thread.join()
        self.look()
        assert self.report is not None
        return self.report

    def look(self) -> None:
        """Raises what went wrong."""
        if self.error is not None:
            raise self.error

    @property
    def is_done(self) -> bool:
        return self.report is not None or self.error is not None

    def _run(self, make: Callable[[], Forwarding]) -> None:
        try:
            self.report = make().to_the_end()
        except Exception as err:  # the border of the thread: who waits for it is told
            self.error = err


@dataclass(kw_only=True)
class Fleet:
    run: RunFolder
    word: DriversWord
    make: Make
    poll_s: float
    _follows: bool = field(init=False)
    _parts: Parts = field(init=False)
    _ledger: LedgerReader = field(init=False)
    _fates: Fates = field(default_factory=Fates)
    _live: dict[str, _Job] = field(default_factory=dict)  # by a part's name, as all of these
    _sent: dict[str, int] = field(default_factory=dict)  # bytes of metrics that are in W&B
    _reports: dict[str, Report] = field(default_factory=dict)
    _troubles: dict[str, str] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)  # in vain
    _not_before: dict[str, float] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _looks: int = 0

    def __post_init__(self) -> None:
        self._follows = self.word.follows
        self._ledger = LedgerReader(self.run.storage)
        self._parts = Parts(run=self.run)

    def to_the_end(self) -> Report:
        """The run's report, which speaks for its parts too."""
        whole = _Job(word=PassedOn(follows=self._follows))
        whole.start(lambda: self.make(None, whole.word, self.run.status))
        if self._follows:  # who syncs looks at everything again
            self._recall()
        while not self.word.is_over(self.poll_s):
            self._look(is_over=False)
            whole.look()
        whole.word.give()
        self._tries.clear()
        self._look(is_over=True)
        while self._live:
            time.sleep(min(_REST_S, self.poll_s))
            self._look(is_over=True)
        return self._summed(whole.join())

    def _recall(self) -> None:
        """What an earlier process had brought to its end."""
        for part in self._parts.look():
            report = read_report(part.folder.storage)
            if report is not None and report.standing is Standing.COMPLETE:
                self._reports[part.name] = report
                self._sent[part.name] = num_bytes_read(part.folder.storage)

    def _look(self, *, is_over: bool) -> None:
        self._fates.hear(self._ledger.read_new())
        self._reap()
        self._looks += 1
        is_thorough = is_over or self._looks % _RARELY == 0
        status = self.run.status()
        for part in self._parts.look():
            if part.name in self._ended and part.name in self._sent and not is_thorough:
                continue  # hardly ever does a line come late
            has_ended = self._fates.status(part, status).state.is_over
            if (job := self._live.get(part.name)) is not None:
                # At the second look: its last lines come about when its end does.
                if (is_over or (has_ended and part.name in self._ended)) and not job.num_bytes:
                    job.num_bytes = part.num_bytes
                    job.word.give()
            elif len(self._live) < _MOST_AT_ONCE and self._is_wanted(part, is_over=is_over):
                self._start(part)
            if has_ended:
                self._ended.add(part.name)

    def _is_wanted(self, part: Part, *, is_over: bool) -> bool:
        size = part.num_bytes
        if not size or size == self._sent.get(part.name):
            return False
        if is_over:
            return self._tries.get(part.name, 0) < _TRIES_AT_END
        return time.monotonic() >= self._not_before.get(part.name, 0.0)

    def _start(self, part: Part) -> None:
        job = self._live[part.name] = _Job(word=PassedOn(follows=self._follows))

        def status() -> Status:
            return self._fates.status(part, self.run.status())

        job.start(lambda: self.make(part, job.word, status))

    def _reap(self) -> None:
        for name, job in list(self._live.items()):
            if not job.is_done:
                continue
            del self._live[name]
            if job.report is not None:
                self._reports[name] = job.report
            if job.report is not None and job.report.standing is Standing.COMPLETE:
                self._sent[name] = job.num_bytes
                self._troubles.pop(name, None)
                continue
            tries = self._tries[name] = self._tries.get(name, 0) + 1
            wait_s = min(_FIRST_WAIT_S * 2 ** (tries - 1), _LONGEST_WAIT_S)
            self._not_before[name] = time.monotonic() + wait_s
            self._troubles[name] = str(job.error) if job.report is None else job.report.reason
            print(f"{name}: {self._troubles[name]}", file=sys.stderr, flush=True)

    def _summed(self, report: Report) -> Report:
        each = [report, *self._reports.values()]
        found = replace(
            report,
            rows=sum(one.rows for one in each),
            arrived=sum(one.arrived for one in each),
        )
        if self._troubles:
            named = ", ".join(list(self._troubles)[:_SHOWN])
            reason = f"{len(self._troubles)} parts are not all in W&B ({named}): " + next(
                iter(self._troubles.values())
            )
            worst = {one.standing for one in each} & {Standing.DIFFERENT} or {Standing.BEHIND}
            found = replace(found, standing=worst.pop(), reason=reason)
        write_report(self.run.storage, found)
        return found
