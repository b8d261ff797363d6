"""Runs inside of a run: a sweep's trials and the seeds of a fine-tune. `ID~0007` names one.

The run around them is one that the storage lists and a number is nothing but digits, so a name
leads nowhere else. How a trial goes is said by the ledger of its sweep, not by its own.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.dashboard.index import Index, Known, latest_figures, open_known
from orchestrator.errors import NotFoundError
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.state import State, Status
from orchestrator.tracking.progress import read_progress
from orchestrator.tuning.trials import ENDED, PROPOSED, Fate, Trial, trials_of

_MARK = "~"
_NUMBER = re.compile(r"\d{4,9}")
_MOST_KEPT = 64
_STATE_OF = {
    Fate.FINISHED: State.FINISHED,
    Fate.STOPPED: State.STOPPED,
    Fate.FAILED: State.FAILED,
}


@dataclass
class _Held:
    known: Known
    lock: threading.Lock


class Inside:
    """Every run by its name, whether the storage lists it or another run has it inside."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> Known:
        around, mark, number = name.rpartition(_MARK)
        if not mark:
            return self._index.get(name)
        if not _NUMBER.fullmatch(number) or number != f"{int(number):04d}":
            raise NotFoundError(f"There is no run {name}: what follows {_MARK} is a number.")
        parent = self.get(around)
        held = self._held_of(name, parent, int(number))
        with held.lock:
            _read_again(held.known, parent, int(number))
        return held.known

    def _held_of(self, name: str, parent: Known, number: int) -> _Held:
        with self._lock:
            if name not in self._held:
                self._held[name] = _Held(_opened(name, parent, number), threading.Lock())
                if len(self._held) > _MOST_KEPT:
                    self._held.popitem(last=False)
            self._held.move_to_end(name)
            return self._held[name]


def names_inside(known: Known) -> list[str]:
    """Of the runs that have their folder here."""
    return [
        f"{known.name}{_MARK}{entry.name}"
        for entry in known.folder.storage.list(layout.TRIALS)
        if _NUMBER.fullmatch(entry.name)
    ]


def name_of(known: Known, number: int) -> str:
    return f"{known.name}{_MARK}{number:04d}"


def parent_name(known: Known) -> str | None:
    """The name of the run that this one is inside of."""
    return known.name.rpartition(_MARK)[0] or None


def trial_in(parent: Known, number: int) -> Trial | None:
    """What the ledger around it says of it; the seeds of a fine-tune are in none."""
    return trials_of(_about(parent.events, number)).get(number)


def _opened(name: str, parent: Known, number: int) -> Known:
    folder = RunFolder(parent.folder.storage.child(layout.TRIALS), f"{number:04d}")
    if not folder.exists():
        raise NotFoundError(f"There is no run {name} in {parent.folder.uri}.")
    known = open_known(name, folder)
    known.facts = {**known.facts, "parent": parent.name, "group": parent.name}
    return known


def _read_again(known: Known, parent: Known, number: int) -> None:
    run = known.folder.storage
    if known.is_settled and parent.is_settled:
        return
    known.events += known.ledger.read_new()
    known.progress = read_progress(run)
    attempts = [_attempt(entry.name) for entry in run.list(layout.METRICS)]
    known.latest |= latest_figures(known.folder, max(attempts, default=0))
    known.status = _status(parent, number, run.exists(layout.RESULT), max(attempts, default=0))


def _attempt(file: str) -> int:
    name = SegmentName.parse(file)
    return name.attempt if name else 0


def _status(parent: Known, number: int, has_result: bool, attempt: int) -> Status:
    own = _about(parent.events, number)
    trial = trial_in(parent, number)
    alone = Fate.FINISHED if has_result else Fate.OPEN
    fate = trial.fate if trial else alone
    if fate is Fate.OPEN:
        around = parent.status
        state = around.state if around.state.is_over else State.RUNNING
        reason = around.reason if around.state.is_over else ""
    else:
        state, reason = _STATE_OF[fate], trial.reason if trial else ""
    times: dict[str, Any] = {event.kind: event.time for event in own}
    return Status(
        state=state,
        reason=reason,
        blame="user" if fate is Fate.FAILED else "nobody",
        attempt=attempt,
        created=times.get(PROPOSED, parent.status.created),
        started=times.get(PROPOSED),
        ended=times.get(ENDED),
        place=parent.status.place,
        address=parent.status.address,
    )


def _about(events: Iterable[Event], number: int) -> list[Event]:
    return [
        event
        for event in events
        if event.kind.startswith("trial_") and event.fields.get("trial") == number
    ]
