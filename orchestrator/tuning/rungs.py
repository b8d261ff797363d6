"""At which epochs trials are judged: arithmetic that `judge` uses and a plan shows."""

from __future__ import annotations

from orchestrator.settings.search import Search, Stopping
from orchestrator.settings.sweep import SweepJob

_BRACKETS = 3


def longest_epochs(job: SweepJob) -> float:
    """Of any trial."""
    edges = [each.edges for each in job.read_space().dimensions if each.key == "budget.epochs"]
    return float(max(edges[0] if edges else [job.budget.epochs]))


def brackets(search: Search, longest: float) -> int:
    """As many as have a rung."""
    if search.scheduler is not Stopping.HYPERBAND:
        return 1
    return max(1, min(_BRACKETS, len(rungs(search, longest))))


def rungs(search: Search, longest: float) -> list[float]:
    """The epochs at which trials are judged."""
    at, found = search.grace_epochs, []
    while at < longest:
        found.append(at)
        at *= search.reduction
    return found


def per_interval(job: SweepJob) -> int:
    """Of a population: measurements from one comparison to the next."""
    return max(1, round(job.search.interval_epochs / job.evaluation.every_epochs))
