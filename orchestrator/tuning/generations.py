"""A population's trials, interval by interval: all come to the same place, then some take over.

The ledger has each decision before a file is touched, and the end of the interval after the last
one is. Whoever resumes in between copies again: nobody trains until all is done, and who is taken
over from is never one that takes over.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from orchestrator.errors import StorageError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.fork import copy_checkpoint
from orchestrator.runs.storage import Storage
from orchestrator.tuning.population import evolve
from orchestrator.tuning.propose import propose
from orchestrator.tuning.rungs import per_interval
from orchestrator.tuning.supply import is_made
from orchestrator.tuning.trials import Book, Leg, Trial


class Generations:
    """The supply of a population."""

    def __init__(self, book: Book, run: Storage, *, is_loss: bool) -> None:
        self._book, self._run, self._is_loss = book, run, is_loss

    def until(self) -> int | None:
        return (self._book.generations + 1) * per_interval(self._book.job)

    def next(self, running: Set[int]) -> Trial | None:
        book = self._book
        while len(book.trials) < book.num_wanted:
            point = propose(
                book.job.read_space(), book.job.search, book.all(), is_loss=self._is_loss
            )
            if point is None:
                break
            is_made(book, book.propose(point, seed=book.job.seed))
        while members := [trial for trial in book.all() if not trial.is_over]:
            for trial in members:
                is_there = len(trial.measured) >= (self.until() or 0)
                if trial.number not in running and not is_there and is_made(book, trial):
                    return trial
            if running:
                return None
            self._turn()
        return None

    def _turn(self) -> None:
        """All are there: the worse take over from the better."""
        book = self._book
        here = self._decided()
        if not here:
            for number, leg in evolve(book.job, book.all(), is_loss=self._is_loss):
                assert leg.source is not None
                step = Checkpoints(self._folder(leg.source)).steps()[-1]
                book.took_over(number, replace(leg, step=step))
            here = self._decided()
        for number, leg in here:
            assert leg.source is not None
            take_over(self._folder(leg.source), self._folder(number), leg.step)
            told = f"trial {number:04d} takes over from {leg.source:04d} at step {leg.step}"
            print(told, flush=True)
        book.end_generation()

    def _decided(self) -> list[tuple[int, Leg]]:
        """Before a kill, it may be, of this interval."""
        return [
            (trial.number, trial.taken[-1])
            for trial in self._book.all()
            if not trial.is_over and trial.taken and trial.taken[-1].epochs == trial.epochs
        ]

    def _folder(self, number: int) -> Storage:
        return self._run.child(layout.trial(number))


def take_over(source: Storage, target: Storage, step: int) -> None:
    """All of its checkpoints, the best one too, in the place of the target's own."""
    committed = Checkpoints(source).steps()
    if step not in committed:
        raise StorageError(
            f"{source.uri} has no checkpoint of step {step}, which a trial was to take over.",
            hint="Put it back from a copy, and resume.",
        )
    target.remove(layout.CHECKPOINTS)
    for each in committed:
        copy_checkpoint(source, target, each)
