"""What is tried next follows from the settings and the trials before, and from nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.search import Search, SearchKind
from orchestrator.settings.space import Point, Space, read_space
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.propose import propose
from orchestrator.tuning.trials import Fate, Trial
from tests.tuning.making import SPACE, a_sweep, a_trial

SMALL = {"optim": {"lr": {"choice": [1e-5, 1e-4]}}, "batch": {"examples": {"integer": [4, 6]}}}


def followed(job: SweepJob, num: int, past: list[Trial] | None = None) -> list[Trial]:
    """Trials one after another; what is near lr=1e-4 with all weights trained is the best."""
    space, trials = job.read_space(), list(past or ())
    while len(trials) < num:
        point = propose(space, job.search, trials, is_loss=False)
        if point is None:
            break
        number = len(trials)
        value = -abs(math.log10(point["optim.lr"]) + 4) - (point.get("transfer.way") != "full")
        measured = ((1.0, value),)
        trials.append(a_trial(number, point, fate=Fate.FINISHED, value=value, measured=measured))
    return trials


def points(trials: list[Trial]) -> list[Point]:
    return [trial.point for trial in trials]


@pytest.mark.parametrize("kind", [SearchKind.RANDOM, SearchKind.TPE])
def test_who_goes_on_after_a_kill_proposes_what_would_have_been(kind: SearchKind) -> None:
    job = a_sweep(kind=kind, startup_trials=3)
    whole = followed(job, 9)
    for killed_after in (2, 5):
        assert points(followed(job, 9, whole[:killed_after])) == points(whole)
    assert points(followed(a_sweep(kind=kind, startup_trials=3, seed=2), 9)) != points(whole)


@given(seed=st.integers(0, 2**31 - 1), kind=st.sampled_from([SearchKind.RANDOM, SearchKind.GRID]))
def test_a_space_with_an_end_is_tried_once_and_whole(seed: int, kind: SearchKind) -> None:
    job = a_sweep(space=SMALL, seed=seed, kind=kind)
    trials = followed(job, 50)
    assert len(trials) == 6
    assert len({tuple(sorted(point.items())) for point in points(trials)}) == 6


def test_tpe_tries_more_where_the_better_ones_lie() -> None:
    def far(kind: SearchKind, seed: int) -> float:
        later = followed(a_sweep(kind=kind, seed=seed), 30)[20:]
        return sum(abs(math.log10(each.point["optim.lr"]) + 4) for each in later)

    drawn = sum(far(SearchKind.RANDOM, seed) for seed in (1, 2))
    assert sum(far(SearchKind.TPE, seed) for seed in (1, 2)) < 0.8 * drawn


def test_tpe_takes_less_for_better_where_that_is_so() -> None:
    space, _ = read_space({"optim": {"lr": {"uniform": [0.1, 1.0]}}})
    trials = [
        a_trial(n, {"optim.lr": n / 20}, fate=Fate.FINISHED, value=n / 20) for n in range(2, 20)
    ]
    search = Search(kind=SearchKind.TPE, startup_trials=2)
    low = [_lr(space, search, trials, is_loss=True, seed=seed) for seed in range(8)]
    high = [_lr(space, search, trials, is_loss=False, seed=seed) for seed in range(8)]
    assert sum(low) < sum(high)


def _lr(space: Space, search: Search, trials: list[Trial], *, is_loss: bool, seed: int) -> float:
    chosen = Search(kind=search.kind, startup_trials=search.startup_trials, seed=seed)
    point = propose(space, chosen, trials, is_loss=is_loss)
    assert point is not None
    return float(point["optim.lr"])


def test_every_fate_can_be_learnt_from() -> None:
    space, _ = read_space(SPACE)
    past = [
        a_trial(0, {"optim.lr": 1e-4, "transfer.way": "full"}, fate=Fate.FAILED),
        a_trial(
            1,
            {"optim.lr": 2e-4, "transfer.way": "adapters", "transfer.rank": 4},
            fate=Fate.STOPPED,
            value=0.2,
            measured=((1.0, 0.2),),
        ),
        a_trial(2, {"optim.lr": 3e-4, "transfer.way": "full"}, measured=((1.0, 0.3),)),
        a_trial(3, {"optim.lr": 4e-4, "transfer.way": "full"}, fate=Fate.FINISHED, value=None),
        a_trial(4, {"optim.lr": 5e-4, "transfer.way": "full"}, fate=Fate.FINISHED, value=0.5),
    ]
    search = Search(kind=SearchKind.TPE, startup_trials=1)
    point = propose(space, search, past, is_loss=False)
    assert point is not None and 1e-5 <= point["optim.lr"] <= 1e-3


def test_seeds_of_finalists_are_no_configurations() -> None:
    job = a_sweep(kind=SearchKind.RANDOM)
    three = followed(job, 3)
    again = a_trial(3, three[0].point, again_of=0, fate=Fate.FINISHED, value=0.1)
    point = propose(job.read_space(), job.search, [*three, again], is_loss=False)
    assert point == followed(job, 4)[3].point
