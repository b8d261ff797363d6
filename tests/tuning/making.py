"""A sweep's job and its ledger, without anything that trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from orchestrator.runs.ledger import Ledger, read_events
from orchestrator.runs.storage import Storage
from orchestrator.settings.search import Search
from orchestrator.settings.space import Point
from orchestrator.settings.sweep import SweepBudget, SweepJob
from orchestrator.tuning.trials import Book, Trial
from tests.tasks.small import built, plain_task

SPACE = {
    "optim": {"lr": {"log_uniform": [1e-5, 1e-3]}},
    "transfer": {
        "way": {"choice": ["full", "adapters"]},
        "rank": {"choice": [4, 8], "when": {"transfer.way": "adapters"}},
    },
}
DATA = {"kind": "jsonl", "splits": {"train": {"path": ["nowhere.jsonl"]}}}


def a_sweep(
    *, space: Any = SPACE, trials: int | None = 8, num_seeds: int = 1, **search: Any
) -> SweepJob:
    return SweepJob(
        task=built(plain_task("classification", data=DATA)),
        encoder="some-run",
        space=space,
        num_seeds=num_seeds,
        search=Search(**search),
        budget=SweepBudget(trials=trials, epochs=9),
    )


def a_trial(number: int, point: Point | None = None, **facts: Any) -> Trial:
    given = {"optim.lr": 1e-4 * (number + 1)} if point is None else point
    return replace(Trial(number=number, point=given, seed=1), **facts)


@contextmanager
def a_book(run: Storage, job: SweepJob, *, attempt: int = 1) -> Iterator[Book]:
    """As an attempt opens it, with all that those before wrote."""
    with closing(Ledger(run, attempt=attempt, writer="attempt")) as ledger:
        yield Book(run, ledger, job, read_events(run))
