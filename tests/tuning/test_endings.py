"""How trials and sweeps end that do not come to their end: lost workers, failures, time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from orchestrator.runs.ledger import Event, read_events
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.recovery import Recovery
from orchestrator.tuning.judge import NUMBER, Judge
from orchestrator.tuning.queue import Queue, Scribe
from orchestrator.tuning.supply import Configurations
from orchestrator.tuning.sweep import failure_of, spent_before
from orchestrator.tuning.trials import Book, Fate, Trial
from tests.tuning.making import a_book, a_sweep


@dataclass
class TunesTrial:
    """What Tune hands to its callbacks, as far as they look."""

    config: dict[str, Any]
    error: str = ""
    status: str = "RUNNING"

    def get_error(self) -> str:
        return self.error


@dataclass
class Stage:
    """A sweep without Ray: Tune's side is this test's."""

    book: Book
    has_room: bool = True
    is_over: bool = False
    told: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        supply = Configurations(self.book, is_loss=False)
        self.queue = Queue(supply, has_room=lambda _: self.has_room, is_over=lambda: self.is_over)
        self.scribe = Scribe(self.book, Judge(self.book, is_loss=False), self.told.append)

    def begin(self, name: str) -> TunesTrial:
        return TunesTrial(self.queue.suggest(name))

    def tell(
        self, trial: TunesTrial, *, beside: tuple[TunesTrial, ...] = (), **result: Any
    ) -> None:
        all_ = [trial, *beside]
        self.scribe.on_trial_result(1, all_, trial, {"end": "", "reason": "", **result})


def kinds(run: LocalStorage) -> list[str]:
    return [event.kind for event in read_events(run)]


def test_a_trial_whose_worker_dies_is_still_open_and_the_ledger_says_so(
    local: LocalStorage, capfd: pytest.CaptureFixture[str]
) -> None:
    with a_book(local, a_sweep()) as book:
        stage = Stage(book)
        trial = stage.begin("a")
        stage.tell(trial, epochs=1.0, value=0.5)
        stage.scribe.on_trial_recover(1, [], trial)
        assert kinds(local) == ["trial_proposed", "trial_measured", "trial_lost"]
        assert "trial 0000 lost a worker" in capfd.readouterr().out
        assert book.trials[0].fate is Fate.OPEN
        stage.tell(trial, epochs=1.0, value=0.25)  # again, from its checkpoint
        stage.tell(trial, epochs=3.0, value=0.75, end="finished")
        assert (book.trials[0].fate, book.trials[0].value) == (Fate.FINISHED, 0.75)
        assert book.trials[0].measured == ((1.0, 0.5), (3.0, 0.75))


def test_a_trial_that_loses_its_worker_too_often_has_failed(local: LocalStorage) -> None:
    with a_book(local, a_sweep()) as book:
        stage = Stage(book)
        trial = stage.begin("a")
        trial.error = "Traceback …\nActorDiedError: its node is gone"
        stage.scribe.on_trial_error(1, [], trial)
        assert book.trials[0].fate is Fate.FAILED
        assert book.trials[0].reason == "ActorDiedError: its node is gone"
        assert [each.number for each in stage.told] == [0]
        assert stage.begin("b").config[NUMBER] == 1


def test_a_trial_that_loses_its_group_is_handed_out_again_as_often_as_allowed(
    local: LocalStorage,
) -> None:
    job = replace(a_sweep(), recovery=Recovery(infrastructure=2))
    with a_book(local, job) as book:
        stage = Stage(book)
        for name in "abc":
            trial = stage.begin(name)
            assert trial.config[NUMBER] == 0  # no other comes before it
            stage.tell(trial, end="lost", reason="A worker process died.", done=True)
            stage.queue.on_trial_complete(name)
        assert kinds(local) == ["trial_proposed", "trial_lost", "trial_lost", "trial_ended"]
        assert "were lost 3 times" in book.trials[0].reason
        assert book.trials[0].reason.endswith("A worker process died.")
        assert stage.begin("d").config[NUMBER] == 1


def test_a_group_without_room_ends_the_sweep_only_where_no_other_runs(local: LocalStorage) -> None:
    with a_book(local, a_sweep()) as book:
        stage = Stage(book)
        first, second = stage.begin("a"), stage.begin("b")
        stage.tell(second, beside=(first,), end="unplaced", reason="free is 1 CPU")
        stage.queue.on_trial_complete("b")
        assert not stage.scribe.unplaced
        assert stage.begin("c").config[NUMBER] == 1
        first.status = "TERMINATED"
        stage.tell(second, beside=(first,), end="unplaced", reason="free is 1 CPU")
        assert stage.scribe.unplaced == "free is 1 CPU"
        assert [trial.fate for trial in book.all()] == [Fate.OPEN, Fate.OPEN]


def test_what_a_kill_left_open_comes_first_and_nothing_comes_twice(local: LocalStorage) -> None:
    with a_book(local, a_sweep(trials=3)) as book:
        stage = Stage(book)
        first, second = stage.begin("a"), stage.begin("b")
        assert (first.config[NUMBER], second.config[NUMBER]) == (0, 1)
        stage.tell(first, value=0.5, epochs=9.0, end="finished")
    with a_book(local, a_sweep(trials=3), attempt=2) as book:
        stage = Stage(book)
        numbers = [stage.begin(name).config[NUMBER] for name in "ab"]
        assert numbers == [1, 2]
        assert stage.queue.suggest("c") is None  # these are all
        for name in "ab":
            stage.queue.on_trial_complete(name)
        stage.has_room = False
        assert stage.queue.suggest("c") is not None  # they are open still: somebody goes on
        stage.is_over = True
        assert stage.queue.suggest("d") == Queue.FINISHED


def test_a_sweep_of_which_too_many_fail_ends_and_says_why(local: LocalStorage) -> None:
    with a_book(local, a_sweep(max_failed_share=0.5)) as book:
        for number in range(7):
            book.propose({"optim.lr": 1e-4 * (number + 1)}, seed=1)
        for number in range(2):
            book.ended(number, Fate.FAILED, reason="too hot")
        assert failure_of(book) is None  # two are few
        for number in range(2, 5):
            book.ended(number, Fate.FINISHED, value=0.5)
        book.ended(5, Fate.FAILED, reason="much too hot")
        assert failure_of(book) is None  # half of them, and no more than that
        book.ended(6, Fate.FAILED, reason="far too hot")
        failure = failure_of(book)
        assert failure is not None
        assert "4 of 7 trials failed" in failure.message and "far too hot" in failure.message


def test_the_time_of_a_sweep_is_that_of_all_attempts_together() -> None:
    def said(attempt: int, time: float) -> Event:
        return Event(seq=1, attempt=attempt, writer="attempt", time=time, kind="any")

    events = [said(0, 1.0), said(1, 10.0), said(1, 40.0), said(2, 100.0), said(2, 120.0)]
    assert spent_before(events, 1, 100.0) == 0.0
    assert spent_before(events, 3, 100.0) == 50.0
    assert spent_before([*events, said(3, 500.0)], 3, 100.0) == 50.0
    assert spent_before(events, 3, 50.0) == 0.0  # used up: resumed, it has as much again
