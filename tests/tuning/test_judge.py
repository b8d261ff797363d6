"""Which trials are given up: Ray's schedulers, and that a kill changes none of their decisions."""

from __future__ import annotations

import itertools
import random

import pytest

from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.search import Stopping
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.judge import Judge
from orchestrator.tuning.rungs import brackets, rungs
from orchestrator.tuning.trials import Book, Fate
from tests.tuning.making import a_book, a_sweep

KINDS = [Stopping.ASHA, Stopping.HYPERBAND, Stopping.MEDIAN]


def judged(book: Book, judge: Judge, number: int, epoch: int) -> str:
    """As Tune would: the scheduler hears it, then the ledger."""
    value = random.Random(f"{number} {epoch}").random() + number / 20
    decision = judge.hear(book.trials[number], float(epoch), value)
    book.measured(number, float(epoch), value)
    if decision == "STOP":
        book.ended(number, Fate.STOPPED, value=value)
    return decision


def followed(run: LocalStorage, job: SweepJob, *, kills: set[int]) -> list[tuple[int, int, str]]:
    """Twelve trials, four at a time, epoch by epoch; at a kill judge and book begin anew."""
    order = [(first + n, epoch) for first in (0, 4, 8) for epoch in range(1, 9) for n in range(4)]
    decisions: list[tuple[int, int, str]] = []
    for attempt, (begin, end) in enumerate(_between(kills, len(order)), 1):
        with a_book(run, job, attempt=attempt) as book:
            while len(book.trials) < 12:
                book.propose({"optim.lr": 1e-4 * (len(book.trials) + 1)}, seed=1)
            judge = Judge(book, is_loss=False)
            for trial in book.all():  # each goes on from a checkpoint before what was measured
                for epochs, value in () if trial.is_over else trial.measured:
                    assert judge.hear(trial, epochs, value) == "CONTINUE"
            for number, epoch in order[begin:end]:
                if not book.trials[number].is_over:
                    decisions.append((number, epoch, judged(book, judge, number, epoch)))
    return decisions


def _between(kills: set[int], last: int) -> list[tuple[int, int]]:
    places = [0, *sorted(kills), last]
    return list(itertools.pairwise(places))


@pytest.mark.parametrize("scheduler", KINDS)
def test_a_kill_changes_no_decision(local: LocalStorage, scheduler: Stopping) -> None:
    job = a_sweep(scheduler=scheduler, reduction=2.0)
    straight = followed(local, job, kills=set())
    killed = followed(local.child("killed"), job, kills={5, 6, 30, 61})
    assert killed == straight
    told = [decision for _, _, decision in straight]
    assert told.count("STOP") >= 3 and told.count("CONTINUE") >= 12


def test_what_is_measured_again_after_a_kill_is_not_judged_again(local: LocalStorage) -> None:
    job = a_sweep(scheduler=Stopping.ASHA, reduction=2.0)
    with a_book(local, job) as book:
        for number in range(6):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
        judge = Judge(book, is_loss=False)
        for number, value in enumerate((0.5, 0.9, 0.8, 0.7)):
            judge.hear(book.trials[number], 1.0, value)
        assert judge.hear(book.trials[4], 1.0, 0.1) == "STOP"
        assert judge.hear(book.trials[4], 1.0, 0.1) == "CONTINUE"


def test_a_lost_word_of_the_scheduler_is_found_again(local: LocalStorage) -> None:
    """It said STOP, and the driver died before the ledger heard of the end."""
    job = a_sweep(scheduler=Stopping.ASHA, reduction=2.0)
    with a_book(local, job) as book:
        judge = Judge(book, is_loss=False)
        for number, value in enumerate((0.5, 0.9, 0.8, 0.1)):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
            decision = judge.hear(book.trials[number], 1.0, value)
            book.measured(number, 1.0, value)
        assert decision == "STOP"
    with a_book(local, job, attempt=2) as book:
        Judge(book, is_loss=False)
        assert book.trials[3].fate is Fate.STOPPED
        assert [trial.fate for trial in book.all()[:3]] == [Fate.OPEN] * 3


def test_seeds_of_finalists_are_never_given_up(local: LocalStorage) -> None:
    job = a_sweep(scheduler=Stopping.ASHA, reduction=2.0)
    with a_book(local, job) as book:
        judge = Judge(book, is_loss=False)
        for number in range(8):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
            judge.hear(book.trials[number], 1.0, 0.5 + number / 10)
        again = book.propose({"optim.lr": 1e-4}, seed=2, again_of=0)
        assert judge.hear(again, 1.0, 0.0) == "CONTINUE"


def test_less_is_better_where_the_metric_is_a_loss(local: LocalStorage) -> None:
    job = a_sweep(scheduler=Stopping.ASHA, reduction=2.0)
    with a_book(local, job) as book:
        judge = Judge(book, is_loss=True)
        for number in range(4):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
        for number, value in enumerate((0.1, 0.2, 0.3)):
            judge.hear(book.trials[number], 1.0, value)
        assert judge.hear(book.trials[3], 1.0, 5.0) == "STOP"


def test_rungs_are_where_trials_are_judged() -> None:
    search = a_sweep(scheduler=Stopping.HYPERBAND, reduction=3.0, grace_epochs=0.5).search
    assert rungs(search, 9.0) == [0.5, 1.5, 4.5]
    assert brackets(search, 9.0) == 3
    assert brackets(search, 1.0) == 1
