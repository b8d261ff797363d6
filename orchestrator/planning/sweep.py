"""What a `sweep` would be: how many trials, where they are judged, how many at once.

The task and the encoder are checked as those of a fine-tune are; the space says of itself what is
wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from orchestrator.planning.finetune import fine_tune_findings, look_ahead_task
from orchestrator.planning.pretrain import Outlook, Surroundings
from orchestrator.runs.plan import Resources
from orchestrator.settings.finding import Finding
from orchestrator.settings.search import Search, SearchKind, Stopping
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.rungs import brackets, longest_epochs, rungs
from orchestrator.tuning.trials import num_wanted


def look_ahead_sweep(job: SweepJob, around: Surroundings) -> Outlook:
    outlook = look_ahead_task(job, around)
    outlook.findings += [*_stopping_findings(job), *_trial_findings(job, outlook.findings)]
    if outlook.findings:
        return outlook
    per_seed = outlook.derived.pop("steps", None)
    outlook.derived.pop("seeds", None)
    outlook.derived |= _extent(job, around.resources)
    if per_seed is not None:
        outlook.derived |= {"steps_of_a_trial": per_seed}
    return outlook


def _stopping_findings(job: SweepJob) -> list[Finding]:
    search, longest = job.search, longest_epochs(job)
    if search.scheduler is Stopping.NONE:
        return []
    if search.grace_epochs >= longest:
        return [
            Finding(
                key="search.grace_epochs",
                found=f"={search.grace_epochs:g}",
                rule=f"is as long as the longest trial: none of {longest:g} epochs would be given "
                "up early.",
                try_="search.scheduler=none, a smaller one, or a larger budget.epochs.",
            )
        ]
    if job.evaluation.every_epochs >= longest:
        return [
            Finding(
                key="evaluation.every_epochs",
                found=f"={job.evaluation.every_epochs:g}",
                rule=f"measures trials of {longest:g} epochs at their end only: none would be "
                f"given up by search.scheduler={search.scheduler}.",
                try_=f"{min(search.grace_epochs, longest / 2):g}.",
            )
        ]
    return []


def _trial_findings(job: SweepJob, known: list[Finding]) -> Iterator[Finding]:
    """What is wrong with a point only, such as adapters with ZeRO 3."""
    told = {str(finding) for finding in known}
    for point in job.read_space().corners(most=256):
        trial, wrong = job.trial(point)
        for finding in [] if trial is None or wrong else fine_tune_findings(trial):
            if str(finding) not in told:
                told.add(str(finding))
                yield replace(finding, key=f"space: {finding.key}")


def _extent(job: SweepJob, resources: Resources) -> dict[str, Any]:
    search, longest = job.search, longest_epochs(job)
    trials, space = num_wanted(job, ()), job.read_space()
    further = min(search.finalists, trials) * search.finalist_seeds
    derived: dict[str, Any] = {
        "configurations": trials,
        "points_of_the_space": space.size or "without end",
        "at_once": _at_once(job, trials, resources),
        "epochs_at_most": (trials * job.num_seeds + further) * longest,
        "dimensions": [
            {"key": each.key, "from": each.shape.value, "values": _said(each.values)}
            for each in space.dimensions
        ],
    }
    if job.trains_in_groups:
        derived["workers_of_a_trial"] = job.cluster.num_workers
    if further:
        derived["trials_of_finalists"] = further
    if search.scheduler in (Stopping.ASHA, Stopping.HYPERBAND):
        derived["epochs_expected"] = round(_expected(search, trials, longest) + further * longest)
        derived["rungs"] = [
            {"epochs": at, "trials_that_come_so_far": _left(search, trials, number)}
            for number, at in enumerate([*rungs(search, longest), longest])
        ]
        if (several := brackets(search, longest)) > 1:
            derived["brackets"] = several
    if search.kind.is_population:
        derived["intervals"] = math.ceil(longest / search.interval_epochs)
        derived["take_over_each_time"] = min(trials // 2, max(1, int(search.quantile * trials)))
    if search.kind is SearchKind.TPE:
        derived["drawn_at_random_first"] = min(trials, search.startup_trials)
    return derived


def _left(search: Search, trials: int, rung: int) -> int:
    return max(1, round(trials / search.reduction**rung))


def _expected(search: Search, trials: int, longest: float) -> float:
    """Where each rung leaves one in `reduction`; asynchronous ones leave a few more."""
    epochs, before = 0.0, 0.0
    for number, at in enumerate([*rungs(search, longest), longest]):
        epochs += _left(search, trials, number) * (at - before)
        before = at
    return epochs


def _at_once(job: SweepJob, trials: int, resources: Resources) -> int | None:
    """Trials, each with all of its workers. None where what the cluster has is not known."""
    most = trials if job.search.max_concurrent is None else min(trials, job.search.max_concurrent)
    there = resources.has
    if not there:
        return job.search.max_concurrent
    fits = [int(there.get(name, 0) / each) for name, each in resources.asked.items()]
    return max(1, min([most, *fits]))


def _said(values: tuple[Any, ...]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
