"""Which point is tried next: a pure function of the sweep's settings and of the trials before it.

So a sweep that was killed goes on as if it had not been, and nothing of a searcher has to be saved.
Random points and grids follow from the seed and from how many there were; `tpe` from all results.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from orchestrator.settings.search import Search, SearchKind
from orchestrator.settings.space import Point, Space
from orchestrator.tuning.trials import Trial, searched

_DRAWS = 1000  # before a space of which all points seem to be taken counts as used up


def propose(space: Space, search: Search, past: Sequence[Trial], *, is_loss: bool) -> Point | None:
    """None where every point has been tried."""
    before = searched(past)
    taken = [trial.point for trial in before]
    if search.kind is SearchKind.GRID:
        return next((point for point in space.grid() if point not in taken), None)
    if search.kind is SearchKind.TPE and len(before) >= search.startup_trials:
        from orchestrator.tuning.tpe import suggest  # optuna

        point = suggest(space, search, before, is_loss=is_loss)
        if space.size is None or point not in taken:
            return point
    for attempt in range(_DRAWS):
        point = space.at(_shares(f"{search.seed} {len(before)} {attempt}"))
        if point not in taken:
            return point
    return next((point for point in _all(space) if point not in taken), None)


def _all(space: Space) -> Iterator[Point]:
    return iter(()) if space.size is None else space.grid()


def _shares(key: str) -> Iterator[float]:
    source = random.Random(key)
    while True:
        yield source.random()
