"""Checkpoints of one run: what training, `checkpoints RUN` and whoever starts from one go through.

A checkpoint exists only when its COMMIT does. Ranks write their files and then a manifest of them;
rank 0 commits when all manifests of its attempt are there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import NotFoundError, OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import Commit, ForeignSchema, Torn
from orchestrator.runs.checkpoints.committing import Gathering
from orchestrator.runs.checkpoints.fetch import fetch
from orchestrator.runs.checkpoints.keep import Keep, retired
from orchestrator.runs.checkpoints.listing import Checkpoint, describe_all
from orchestrator.runs.checkpoints.rank import RankFiles
from orchestrator.runs.checkpoints.restore import Note, folders, restore_point
from orchestrator.runs.checkpoints.verify import Tell, find_problems, read_commit, silent
from orchestrator.runs.storage import Storage


class Checkpoints:
    def __init__(self, run: Storage) -> None:
        self._run = run
        self._losses: dict[int, float | None] = {}  # of committed ones: they never change

    # ----- looking

    def steps(self) -> list[int]:
        """Of committed ones, oldest first."""
        return [step for step in folders(self._run) if self._run.exists(_commit_of(step))]

    def all(self, *, verify: bool = False, tell: Tell = silent) -> list[Checkpoint]:
        """Oldest first, those in quarantine after the others."""
        return describe_all(self._run, verify=verify, tell=tell)

    def read(self, step: int) -> Commit:
        """Torn or ForeignSchema when its COMMIT cannot be used, NotFoundError when there is none"""
        return read_commit(self._run, step)

    def verify(self, step: int, tell: Tell = silent) -> list[str]:
        """What is wrong with it; reads every byte."""
        try:
            return find_problems(self._run, read_commit(self._run, step), tell)
        except NotFoundError:
            return [f"{layout.COMMIT} is missing"]
        except (Torn, ForeignSchema) as err:
            return [f"{layout.COMMIT} {err.message}"]

    # ----- going on from one

    def restore_point(self, note: Note, tell: Tell = silent) -> Commit | None:
        """The newest whole one; None only when the run never committed any.

        For a new attempt, which alone holds the run: torn ones are put aside, leftovers removed.
        """
        return restore_point(self._run, note, tell)

    def fetch(
        self, step: int, folder: Path, wants: Callable[[str], bool] = lambda name: True
    ) -> Path:
        """Where its files can be read: `folder`, or on a disk the checkpoint's own folder."""
        return fetch(self._run, self.read(step), folder, wants)

    # ----- making one

    def open_rank(self, step: int, rank: int, *, attempt: int) -> RankFiles:
        if self._run.exists(_commit_of(step)):
            raise OrchestratorError(
                f"{self._run.uri_of(layout.checkpoint(step))} is committed already, and what is "
                "committed is never written again."
            )
        return RankFiles(self._run, step=step, rank=rank, attempt=attempt)

    def wait_for_ranks(
        self, step: int, world: int, *, attempt: int, should_give_up: Callable[[], bool]
    ) -> None:
        """Until each rank has finished its files in this attempt."""
        gathering = Gathering(run=self._run, step=step, world=world, attempt=attempt)
        gathering.wait(should_give_up)

    def commit(self, step: int, *, world: int, attempt: int, facts: dict[str, Any]) -> Commit:
        """From here on it exists. `facts` are plain JSON."""
        gathering = Gathering(run=self._run, step=step, world=world, attempt=attempt)
        return gathering.commit(facts)

    def retire(self, keep: Keep) -> list[int]:
        """Removes those that need not stay, with what was derived from them; gives their steps.

        What cannot be read is left alone: it keeps no whole one from staying.
        """
        there = folders(self._run)
        self._losses = {step: loss for step, loss in self._losses.items() if step in there}
        for step in there:
            if step not in self._losses:
                with suppress(NotFoundError, Torn, ForeignSchema):
                    self._losses[step] = self.read(step).validation_loss
        gone = retired(self._losses, keep)
        for step in gone:
            self._run.remove(_commit_of(step))  # first: half of the rest is no checkpoint
            self._run.remove(layout.checkpoint(step))
        return gone


def _commit_of(step: int) -> str:
    return f"{layout.checkpoint(step)}/{layout.COMMIT}"
