"""All runs of a storage: list, find by part of an id, delete, and choose what may be pruned."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import ids, layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.lease import read_holder, refuse_if_alive
from orchestrator.runs.state import State, Status
from orchestrator.runs.storage import Entry, Storage

KEEP = "keep"  # a run with this tag is never pruned
_ABANDONED_AFTER_S = 3600.0


class Archive:
    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def ids(self) -> list[str]:
        """Oldest first. A folder without job.yaml was never a run, or is half deleted."""
        names = [name for name in self._folders() if RunFolder(self.storage, name).exists()]
        return sorted(names, key=ids.when)

    def find(self, part: str) -> RunFolder:
        return RunFolder(self.storage, ids.choose(part, self.ids(), where=self.storage.uri))

    def statuses(self) -> list[tuple[RunFolder, Status]]:
        runs = [RunFolder(self.storage, run_id) for run_id in self.ids()]
        with ThreadPoolExecutor(max_workers=8) as pool:
            pairs = zip(runs, pool.map(_status, runs), strict=True)
            return [(run, status) for run, status in pairs if status is not None]

    def delete(self, run: RunFolder) -> None:
        """job.yaml goes first: from then on there is no such run, whatever happens to the rest."""
        state = run.status().state
        if not state.is_over and state is not State.QUEUED:
            raise RequestError(
                f"{run.id} is {state}; only a run that is over can be deleted.",
                hint=f"orchestrator stop {run.id}",
            )
        # A state is judged by clocks that may differ, and nothing brings back what is deleted.
        holder = read_holder(run.storage)
        if holder is not None and not holder.released:
            refuse_if_alive(run.storage, holder)
        run.storage.remove(layout.JOB)
        run.storage.remove("")

    def leftovers(self) -> list[str]:
        """Folders with a run's name and no job.yaml that nobody has touched for an hour."""
        old = time.time() - _ABANDONED_AFTER_S
        return [
            entry.name
            for entry in self.storage.list()
            if entry.is_dir
            and ids.is_id(entry.name)
            and not RunFolder(self.storage, entry.name).exists()
            and not self._is_touched_since(entry.name, entry, old)
        ]

    def _is_touched_since(self, path: str, entry: Entry, moment: float) -> bool:
        """Object stores know the time of files only, so it is theirs that counts."""
        return entry.modified >= moment or (
            entry.is_dir
            and any(
                self._is_touched_since(f"{path}/{below.name}", below, moment)
                for below in self.storage.list(path)
            )
        )

    def _folders(self) -> list[str]:
        names = [entry.name for entry in self.storage.list() if entry.is_dir]
        return sorted(filter(ids.is_id, names), key=ids.when)


def _status(run: RunFolder) -> Status | None:
    """None for a run that somebody deletes while the others are listed."""
    try:
        return run.status()
    except NotFoundError:
        if run.exists():
            raise
        return None


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
    ordered = sorted(runs, key=lambda run: ids.when(run.id))
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
    return [run.id for run in ordered if run.id in going]
