"""A sweep's leaderboard, from its folder alone: what `sweep status` and `sweep best` show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.settings.sweep import SweepJob
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tuning.front import front, near_best
from orchestrator.tuning.population import Stretch, way_of
from orchestrator.tuning.trials import Fate, Trial, num_wanted, ranked, trials_of


@dataclass(frozen=True, kw_only=True)
class Board:
    job: SweepJob
    metric: str
    is_loss: bool
    num_wanted: int  # configurations
    trials: tuple[Trial, ...]  # the best first, then those that run, were given up, failed

    @property
    def best(self) -> Trial | None:
        """So far; with costs, the cheapest that is near enough."""
        first = self.trials[:1]
        near = near_best(self.trials, self.job.search, is_loss=self.is_loss)
        return near[-1] if near else first[0] if first and first[0].fate is Fate.FINISHED else None

    @property
    def front(self) -> list[Trial]:
        """Those that are worth what they cost; empty where costs do not matter."""
        return front(self.trials, self.job.search, is_loss=self.is_loss)

    @property
    def is_population(self) -> bool:
        return self.job.search.kind.is_population

    def count(self, fate: Fate) -> int:
        return sum(trial.fate is fate for trial in self.trials)


def read_board(run: RunFolder) -> Board:
    job = run.job()
    if not isinstance(job, SweepJob):
        raise RequestError(
            f"{run.id} is a {job.kind}, not a sweep.", hint=f"orchestrator status {run.id}"
        )
    return board_of(job, run.events())


def board_of(job: SweepJob, events: Sequence[Event]) -> Board:
    """Of events that were read already, as a dashboard has them."""
    chooser = metrics_of(job.task)[0]
    trials = list(trials_of(events).values())
    done = ranked(trials, is_loss=chooser.is_loss)
    order = [Fate.OPEN, Fate.STOPPED, Fate.FINISHED, Fate.FAILED]
    others = [trial for trial in trials if trial not in done]
    sign = 1 if chooser.is_loss else -1
    others.sort(
        key=lambda each: (
            order.index(each.fate),
            math.inf if each.latest is None else sign * each.latest,  # not measured: the last
        )
    )
    return Board(
        job=job,
        metric=chooser.name,
        is_loss=chooser.is_loss,
        num_wanted=num_wanted(job, events),
        trials=(*done, *others),
    )


def best_overrides(run: RunFolder, result: Mapping[str, Any] | None) -> list[str]:
    """Of the winner; before there is one, of the best so far."""
    if result is not None:
        return [str(text) for text in result["overrides"]]
    best = read_board(run).best
    if best is None:
        raise NotFoundError(
            f"No trial of {run.id} has finished yet.", hint=f"orchestrator sweep status {run.id}"
        )
    return overrides_of(best.point)


def way_of_best(run: RunFolder, result: Mapping[str, Any] | None) -> list[Stretch]:
    """How its weights came about: several stretches only where one trial took over another's."""
    board = read_board(run)
    if result is None and board.best is None:
        return []
    number = int(result["winner"]) if result is not None else 0
    if result is None and board.best is not None:
        number = board.best.number
    return way_of({trial.number: trial for trial in board.trials}, number)


def overrides_of(point: Mapping[str, Any]) -> list[str]:
    """As they are typed for `run finetune`."""
    return [f"{key}={_spelled(value)}" for key, value in point.items()]


def _spelled(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_spelled, value))}]"
    return repr(value) if isinstance(value, int | float) else str(value)
