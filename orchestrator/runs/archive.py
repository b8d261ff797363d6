"""All runs of a storage: list, find by part of an id, delete, and choose what may be pruned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from orchestrator.errors import RequestError
from orchestrator.runs import ids, layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.state import State, Status
from orchestrator.runs.storage import Storage

KEEP = "keep"  # a run with this tag is never pruned
_ABANDONED_AFTER_S = 3600.0


class Archive:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def ids(self) -> list[str]:
        """Oldest first. A folder without job.yaml was never a run, or is half deleted."""
        return [name for name in self._folders() if RunFolder(self.storage, name).exists()]

    def find(self, part: str) -> RunFolder:
        return RunFolder(self.storage, ids.choose(part, self.ids(), where=self.storage.uri))

    def statuses(self) -> list[tuple[RunFolder, Status]]:
        runs = [RunFolder(self.storage, run_id) for run_id in self.ids()]
        with ThreadPoolExecutor(max_workers=8) as pool:
            return list(zip(runs, pool.map(RunFolder.status, runs), strict=True))

    def delete(self, run: RunFolder) -> None:
        """job.yaml goes first: from then on there is no such run, whatever happens to the rest."""
        state = run.status().state
        if not state.is_over and state is not State.QUEUED:
            raise RequestError(
                f"{run.id} is {state}; only a run that is over can be deleted.",
                hint=f"orchestrator stop {run.id}",
            )
        run.storage.remove(layout.JOB)
        run.storage.remove("")

    def leftovers(self) -> list[str]:
        """Folders with a run's name and no job.yaml that nobody has touched for an hour."""
        old = time.time() - _ABANDONED_AFTER_S
        entries = {entry.name: entry for entry in self.storage.list()}
        return [
            name
            for name in self._folders()
            if not RunFolder(self.storage, name).exists() and entries[name].modified < old
        ]

    def _folders(self) -> list[str]:
        return [e.name for e in self.storage.list() if e.is_dir and ids.is_id(e.name)]


@dataclass(frozen=True, kw_only=True)
class PrunePolicy:
    """Which ended runs may go: all that match every condition given."""

    keep_last: int = 20
    older_than_s: float = 30 * 86400.0
    states: tuple[State, ...] = field(default=(State.FAILED, State.STOPPED, State.FINISHED))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the policy looks at; nothing else of a run matters to it."""

    id: str
    state: State
    ended: float | None
    tags: tuple[str, ...] = ()
    parent: str | None = None


def prunable(runs: Sequence[Candidate], policy: PrunePolicy, *, now: float) -> list[str]:
    """Ids that may go, oldest first. Kept: the newest, tagged ones, and parents of what is kept."""
    ordered = sorted(runs, key=lambda run: run.id)
    newest = {run.id for run in ordered[-policy.keep_last :]} if policy.keep_last else set()
    going = {
        run.id
        for run in ordered
        if run.id not in newest
        and KEEP not in run.tags
        and run.state in policy.states
        and run.state.is_over
        and run.ended is not None
        and now - run.ended >= policy.older_than_s
    }
    while needed := {run.parent for run in ordered if run.id not in going} & going:
        going -= needed
    return sorted(going)
