"""Runs inside of a run, as W&B is shown them: the trials of a sweep, the seeds of a fine-tune.

A part has no driver. How it ended is said by the run's ledger, or by the part's own result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.state import State, Status
from orchestrator.settings.sweep import SweepJob
from orchestrator.tracking.exhibits import INSIDE

_PROPOSED, _ENDED = "trial_proposed", "trial_ended"
_STATES = {"finished": State.FINISHED, "stopped": State.STOPPED, "failed": State.FAILED}


@dataclass(frozen=True, kw_only=True)
class Part:
    run: RunFolder  # in which it is
    folder: RunFolder
    names: tuple[str, ...]  # of its folders: 0007, and 0001 below it

    @property
    def name(self) -> str:
        return "-".join(self.names)

    @property
    def id(self) -> str:
        return f"{self.run.id}-{self.name}"

    @property
    def num_bytes(self) -> int:
        """Of its metrics."""
        return sum(entry.size_bytes for entry in self.folder.storage.list(layout.METRICS))


def name_of(folder: str) -> str:
    """trials/0007/trials/0001 is 0007-0001."""
    return "-".join(name for name in folder.split("/") if name != layout.TRIALS)


def linked(columns: list[str], rows: list[list[Any]], address: str) -> list[list[Any]]:
    """Runs inside of this one, which a column may name, as the addresses of theirs in W&B."""
    if INSIDE not in columns:
        return rows
    at = columns.index(INSIDE)
    return [[*row[:at], f"{address}-{name_of(row[at])}", *row[at + 1 :]] for row in rows]


def parts_of(run: RunFolder) -> list[Part]:
    return Parts(run=run).look()


@dataclass(kw_only=True)
class Parts:
    """Of a run, as they appear: what was found once is not asked for again."""

    run: RunFolder
    _known: dict[tuple[str, ...], Part] = field(default_factory=dict)
    _most_levels: int | None = None

    def look(self) -> list[Part]:
        if self._most_levels is None:
            job = self.run.job()
            has_seeds = isinstance(job, SweepJob) and job.num_seeds > 1
            self._most_levels = 2 if has_seeds else 1
        return list(self._below(self.run, (), self._most_levels))

    def _below(self, folder: RunFolder, names: tuple[str, ...], levels: int) -> Iterator[Part]:
        inside = folder.storage.child(layout.TRIALS)
        for name in sorted(entry.name for entry in inside.list() if entry.is_dir):
            path = (*names, name)
            below = RunFolder(inside, name)
            if path not in self._known and below.exists():
                self._known[path] = Part(run=self.run, folder=below, names=path)
            if path in self._known:
                yield self._known[path]
                if levels > 1:
                    yield from self._below(below, path, levels - 1)


@dataclass(kw_only=True)
class Fates:
    """What the run's ledger says of its parts."""

    _began: dict[int, float] = field(default_factory=dict)
    _ended: dict[int, Event] = field(default_factory=dict)

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind == _PROPOSED:
                self._began.setdefault(int(event.fields["trial"]), event.time)
            elif event.kind == _ENDED:
                self._ended.setdefault(int(event.fields["trial"]), event)

    def status(self, part: Part, run: Status) -> Status:
        """`run`: that of the run in which it is."""
        first, *inner = part.names
        number = int(first) if first.isdecimal() else -1
        created = self._began.get(number, run.created)
        event = self._ended.get(number)
        if event is not None and not inner:
            reason = str(event.fields.get("reason", ""))
            state = _STATES.get(str(event.fields.get("fate")), State.FAILED)
            return Status(state=state, created=created, reason=reason, ended=event.time)
        if part.folder.storage.exists(layout.RESULT):
            return Status(state=State.FINISHED, created=created)
        if not run.state.is_over:
            return Status(state=State.RUNNING, created=created)
        state = State.STOPPED if run.state is State.FINISHED else run.state
        return Status(state=state, created=created, reason=f"{part.run.id} ended before it did")
