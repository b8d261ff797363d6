"""A sweep that also looks at costs: what is worth them, who wins, and where more is tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs import layout
from orchestrator.runs.ledger import read_events
from orchestrator.runs.result import write_result
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.search import Beside, SearchKind
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.board import board_of
from orchestrator.tuning.front import front, near_best
from orchestrator.tuning.propose import propose
from orchestrator.tuning.trials import Book, Fate, Trial
from orchestrator.tuning.winner import clear_folders, winner_of
from tests.tuning.making import a_book, a_sweep, a_trial

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=12)


def finished(number: int, value: float, size: float) -> Trial:
    return a_trial(number, fate=Fate.FINISHED, value=value, costs={Beside.SIZE: size})


@given(pairs=PAIRS, is_loss=st.booleans())
def test_no_other_trial_is_both_as_good_and_as_cheap(
    pairs: list[tuple[int, int]], is_loss: bool
) -> None:
    trials = [finished(number, value, size) for number, (value, size) in enumerate(pairs)]
    found = front(trials, a_sweep(beside=Beside.SIZE).search, is_loss=is_loss)
    sign = 1 if is_loss else -1
    places = {(sign * value, size) for value, size in pairs}
    worth = {
        (value, size)
        for value, size in places
        if not any((v <= value and s <= size) and (v, s) != (value, size) for v, s in places)
    }
    assert {(sign * (t.value or 0), t.costs[Beside.SIZE]) for t in found} == worth
    assert len(found) == len(worth)


@given(pairs=PAIRS, more=PAIRS, margin=st.integers(0, 3))
def test_who_wins_in_the_end_was_always_near_the_best(
    pairs: list[tuple[int, int]], more: list[tuple[int, int]], margin: int
) -> None:
    """So its model is still there: what is not near enough once never is again."""
    search = a_sweep(beside=Beside.SIZE, margin=float(margin)).search
    trials = [finished(number, *each) for number, each in enumerate([*pairs, *more])]
    last = near_best(trials, search, is_loss=False)
    then = near_best(trials[: len(pairs)], search, is_loss=False)
    assert all(trial in then for trial in last if trial.number < len(pairs))


def test_the_cheapest_that_is_near_the_best_wins_and_keeps_its_model(local: LocalStorage) -> None:
    job = a_sweep(beside=Beside.SIZE, margin=0.02, trials=4)
    with a_book(local, job) as book:
        for value, size in ((0.82, 1000), (0.80, 10), (0.79, 1), (0.805, 500)):
            end(local, book, value, size)
            clear_folders(local, book, is_loss=False, is_over=False)
        winner = winner_of(job, book.all(), is_loss=False)
        assert winner is not None and winner.trial.number == 1
        clear_folders(local, book, is_loss=False, is_over=True)
    has_model = [
        local.exists(f"{layout.trial(number)}/{layout.EXPORT}/model") for number in range(4)
    ]
    assert has_model == [True, True, False, True]
    board = board_of(job, read_events(local))  # as anybody reads it later
    assert [trial.number for trial in board.front] == [0, 3, 1, 2]
    assert board.best is not None and board.best.number == 1


def test_without_a_margin_the_best_wins_whatever_it_costs(local: LocalStorage) -> None:
    job = a_sweep(beside=Beside.SIZE)
    trials = [finished(0, 0.5, 1), finished(1, 0.75, 1000)]
    winner = winner_of(job, trials, is_loss=False)
    assert winner is not None and winner.trial.number == 1


def test_finalists_are_compared_by_the_medians_of_their_seeds_and_then_by_their_costs() -> None:
    job = a_sweep(beside=Beside.SIZE, margin=0.1, finalists=2)
    trials = [finished(0, 0.75, 10), finished(1, 0.7, 1), finished(2, 0.1, 1)]
    again = a_trial(3, again_of=1, fate=Fate.FINISHED, value=0.2)
    winner = winner_of(job, [*trials, again], is_loss=False)
    assert winner is not None and winner.chosen.number == 0  # the median of 1 is 0.45
    winner = winner_of(job, trials, is_loss=False)
    assert winner is not None and winner.chosen.number == 1


def end(run: LocalStorage, book: Book, value: float, size: int) -> None:
    trial = book.propose({"optim.lr": 1e-4 * (1 + len(book.trials))}, seed=1)
    folder = run.child(trial.folder)
    folder.write(f"{layout.EXPORT}/model", b"weights")
    write_result(folder, {"trained_weights": size, "trained_s": 1.5})
    ended = book.ended(trial.number, Fate.FINISHED, value=value)
    assert ended.costs == {Beside.SIZE: size, Beside.TIME: 1.5}


def test_tpe_looks_for_what_is_good_and_cheap() -> None:
    """What costs more gains nothing here: of costs it knows only where it is told to look."""
    assert _later_costs(Beside.SIZE) < 0.8 * _later_costs(Beside.NONE)


def _later_costs(beside: Beside) -> float:
    space = {"optim": {"lr": {"uniform": [0.1, 1.0]}}}
    total = 0.0
    for seed in (1, 2):
        job = a_sweep(space=space, kind=SearchKind.TPE, seed=seed, beside=beside)
        total += sum(_costs(job)[16:])
    return total


def _costs(job: SweepJob) -> list[float]:
    trials: list[Trial] = []
    for number in range(32):
        point = propose(job.read_space(), job.search, trials, is_loss=False)
        assert point is not None
        facts = {"fate": Fate.FINISHED, "value": 0.8, "costs": {Beside.SIZE: point["optim.lr"]}}
        if number % 5 == 4:  # as a scheduler has it now and then
            facts = {"fate": Fate.STOPPED, "value": 0.1, "measured": ((1.0, 0.1),)}
        trials.append(a_trial(number, point, **facts))
    return [trial.point["optim.lr"] for trial in trials]
