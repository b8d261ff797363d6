"""Which trials are worth what they cost: those that no other one beats in value and cost alike.

A sweep with `search.beside` shows them, and of those near the best the cheapest one wins.
"""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.settings.search import Beside, Search
from orchestrator.tuning.trials import Trial, ranked, searched

COST_NAMES = {Beside.TIME: "seconds of steps", Beside.SIZE: "trained weights"}


def front(trials: Iterable[Trial], search: Search, *, is_loss: bool) -> list[Trial]:
    """The best first; each one after it costs less than all before. Empty without `beside`."""
    costs = [(cost_of(trial, search), trial) for trial in searched(trials)]
    known = {trial.number: cost for cost, trial in costs if cost is not None}
    order = ranked((trial for _, trial in costs if trial.number in known), is_loss=is_loss)
    sign = 1 if is_loss else -1
    order.sort(key=lambda trial: (sign * (trial.value or 0.0), known[trial.number]))
    found: list[Trial] = []
    for trial in order:
        if not found or known[trial.number] < known[found[-1].number]:
            found.append(trial)
    return found


def near_best(trials: Iterable[Trial], search: Search, *, is_loss: bool) -> list[Trial]:
    """The part of the front that is near enough to the best; its last one is to win."""
    members = front(trials, search, is_loss=is_loss)
    return [each for each in members if is_near(each.value, members[0].value, search)]


def is_near(value: float | None, best: float | None, search: Search) -> bool:
    return value is not None and best is not None and abs(value - best) <= search.margin + 1e-12


def cost_of(trial: Trial, search: Search) -> float | None:
    return None if search.beside is Beside.NONE else trial.costs.get(search.beside)
