"""Tree-structured Parzen estimators, through Optuna: where the better trials lie, more are tried.

A study is made anew from the trials for every question, and its sampler seeded with their number:
the answer is a function of what is known, and there is no state to keep.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.settings.search import Beside, Search
from orchestrator.settings.space import Dimension, Point, Shape, Space
from orchestrator.tuning.front import cost_of
from orchestrator.tuning.trials import Fate, Trial

_PER_EPOCH = 1000  # Optuna counts steps in whole numbers
_STATES = {
    Fate.OPEN: TrialState.RUNNING,
    Fate.FINISHED: TrialState.COMPLETE,
    Fate.STOPPED: TrialState.PRUNED,
    Fate.FAILED: TrialState.FAIL,
}


def suggest(space: Space, search: Search, past: Sequence[Trial], *, is_loss: bool) -> Point:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=search.startup_trials,
            multivariate=True,
            group=True,  # dimensions that apply together are modelled together
            constant_liar=True,  # what is still running is not tried again beside it
            seed=(search.seed * 1_000_003 + len(past)) % 2**32,
        )
    directions = [StudyDirection.MINIMIZE if is_loss else StudyDirection.MAXIMIZE]
    if search.beside is not Beside.NONE:
        directions.append(StudyDirection.MINIMIZE)
    study = optuna.create_study(sampler=sampler, directions=directions)
    study.add_trials([_frozen(space, search, trial) for trial in past])
    asked = study.ask()
    point: Point = {}
    for dimension in space.dimensions:
        if dimension.applies(point):
            point[dimension.key] = _ask(asked, dimension)
    return point


def _frozen(space: Space, search: Search, trial: Trial) -> FrozenTrial:
    there = [each for each in space.dimensions if each.key in trial.point]
    values = [trial.value]
    if search.beside is not Beside.NONE:
        values.append(cost_of(trial, search))
    known = [value for value in values if value is not None]
    is_done = trial.fate is Fate.FINISHED and len(known) == len(values)
    state = TrialState.FAIL if trial.fate is Fate.FINISHED and not is_done else _STATES[trial.fate]
    # Of one that was given up Optuna compares measurements, where there is one thing to compare.
    measured = trial.measured if search.beside is Beside.NONE else ()
    return create_trial(
        state=state,
        values=known if is_done else None,
        params={each.key: _param(each, trial.point[each.key]) for each in there},
        distributions={each.key: _distribution(each) for each in there},
        intermediate_values={round(epochs * _PER_EPOCH): value for epochs, value in measured},
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.shape is Shape.CHOICE:
        return CategoricalDistribution(range(len(dimension.values)))
    low, high, *step = dimension.values
    if dimension.shape is Shape.INTEGER:
        return IntDistribution(low, high)
    if dimension.shape is Shape.QUANTISED:
        return FloatDistribution(low, (dimension.options or (high,))[-1], step=step[0])
    return FloatDistribution(low, high, log=dimension.shape is Shape.LOG_UNIFORM)


def _param(dimension: Dimension, value: Any) -> Any:
    return dimension.values.index(value) if dimension.shape is Shape.CHOICE else value


def _ask(asked: optuna.Trial, dimension: Dimension) -> Any:
    key, distribution = dimension.key, _distribution(dimension)
    if isinstance(distribution, CategoricalDistribution):
        number = asked.suggest_categorical(key, distribution.choices)
        assert isinstance(number, int)
        return dimension.values[number]
    if isinstance(distribution, IntDistribution):
        return asked.suggest_int(key, distribution.low, distribution.high)
    assert isinstance(distribution, FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    found = asked.suggest_float(key, low, high, step=step, log=distribution.log)
    return found if step is None else round(found, 12)
