"""Population-based training, decided: who takes over from whom, and with which settings.

After each interval the worst trials go on from the weights of the best ones, with settings that
were moved a little (pbt) or that a Gaussian process proposes (pb2). A pure function of the sweep's
seed and its ledger: whoever resumes decides the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.settings.search import Search, SearchKind
from orchestrator.settings.space import Dimension, Point, Shape, Space
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.trials import Leg, Trial

_MOVE = 0.2


def evolve(job: SweepJob, trials: Sequence[Trial], *, is_loss: bool) -> list[tuple[int, Leg]]:
    """Of trials that stand at the same place: the numbers of those that take over, and what."""
    search, space, sign = job.search, job.read_space(), 1 if is_loss else -1
    there = [trial for trial in trials if not trial.is_over and trial.latest is not None]
    order = sorted(there, key=lambda trial: (sign * (trial.latest or 0.0), trial.number))
    count = min(len(order) // 2, max(1, int(search.quantile * len(order))))
    best, worst = order[:count], order[len(order) - count :]
    found: list[tuple[int, Leg]] = []
    for trial in sorted(worst, key=lambda trial: trial.number):
        chance = random.Random(f"{search.seed} {len(trial.measured)} {trial.number}")
        source = chance.choice(best)
        if source.latest == trial.latest:
            continue  # it is no worse
        if search.kind is SearchKind.PB2:
            from orchestrator.tuning.gaussian import suggest  # scikit-learn

            pending = [leg.point for _, leg in found]
            point = suggest(job, trials, pending, chance, is_loss=is_loss)
        else:
            point = perturbed(space, search, source.point, chance)
        leg = Leg(epochs=trial.epochs, point=point, source=source.number)
        found.append((trial.number, leg))
    return found


def perturbed(space: Space, search: Search, point: Point, chance: random.Random) -> Point:
    moved: Point = {}
    for each in space.dimensions:
        if chance.random() < search.resample:
            moved[each.key] = each.at(chance.random())
        else:
            moved[each.key] = _moved(each, point[each.key], is_up=chance.random() < 0.5)
    return moved


def _moved(dimension: Dimension, value: Any, *, is_up: bool) -> Any:
    """By a fifth of itself, or of the range where that has no end of halves; or to a neighbour."""
    step = _MOVE if is_up else -_MOVE
    if (options := dimension.options) is not None:
        at = list(options).index(value) + (1 if is_up else -1)
        return options[min(max(at, 0), len(options) - 1)]
    low, high = dimension.values
    is_log = dimension.shape is Shape.LOG_UNIFORM
    moved = value * (1 + step) if is_log else value + step * (high - low)
    return float(min(max(moved, low), high))


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the way that a model's weights have come."""

    trial: int
    begin: float  # epochs
    end: float
    point: Point


def way_of(trials: Mapping[int, Trial], number: int) -> list[Stretch]:
    """How the weights of a trial came about, through all whose weights were taken over."""
    trial = trials[number]
    return _way(trials, number, trial.epochs)


def _way(trials: Mapping[int, Trial], number: int, until: float) -> list[Stretch]:
    legs = [leg for leg in trials[number].legs if leg.epochs < until or not leg.epochs]
    last = legs[-1]
    own = Stretch(trial=number, begin=last.epochs, end=until, point=last.point)
    if last.source is None:
        return [own]
    return [*_way(trials, last.source, last.epochs), own]
