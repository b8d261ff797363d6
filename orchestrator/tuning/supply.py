"""Which trial is next: those that a kill left open, then new ones, then the finalists' seeds.

`queue.py` asks whenever there is room. A population's trials come from `generations.py`.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Protocol

from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.propose import propose
from orchestrator.tuning.trials import Book, Fate, Trial, ranked, searched


class Supply(Protocol):
    def next(self, running: Set[int]) -> Trial | None:
        """None: not now; and never again, where none is running."""

    def until(self) -> int | None:
        """After which of its measurements a trial is to rest; None: it goes to its end."""


class Configurations:
    """Trials that know nothing of each other."""

    def __init__(self, book: Book, *, is_loss: bool) -> None:
        self._book, self._is_loss = book, is_loss
        self._space = book.job.read_space()

    def until(self) -> int | None:
        return None

    def next(self, running: Set[int]) -> Trial | None:
        for trial in self._book.all():
            if not trial.is_over and trial.number not in running and is_made(self._book, trial):
                return trial
        while len(searched(self._book.all())) < self._book.num_wanted:
            trials, job = self._book.all(), self._book.job
            point = propose(self._space, job.search, trials, is_loss=self._is_loss)
            if point is None:
                break
            trial = self._book.propose(point, seed=job.seed)
            if is_made(self._book, trial):
                return trial
        if all(trial.is_over for trial in searched(self._book.all())):
            for again_of, seed in finals(self._book.job, self._book.all(), is_loss=self._is_loss):
                point = self._book.trials[again_of].point
                trial = self._book.propose(point, seed=seed, again_of=again_of)
                if is_made(self._book, trial):
                    return trial
        return None


def is_made(book: Book, trial: Trial) -> bool:
    """Settings that do not go together are a failed trial, not a failed sweep."""
    if problems := book.make_folder(trial):
        book.ended(trial.number, Fate.FAILED, reason=" ".join(problems))
    return not problems


def finals(job: SweepJob, trials: list[Trial], *, is_loss: bool) -> list[tuple[int, int]]:
    """The number of a finalist and a further seed of it, for all that are not proposed yet."""
    best = ranked(searched(trials), is_loss=is_loss)[: job.search.finalists]
    known = {(trial.again_of, trial.seed) for trial in trials}
    last = job.seed + job.num_seeds - 1  # those that its own trial had
    return [
        (trial.number, last + further)
        for trial in best
        for further in range(1, job.search.finalist_seeds + 1)
        if (trial.number, last + further) not in known
    ]
