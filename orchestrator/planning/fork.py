"""What a fork may change of its parent's settings: all that its checkpoint does not depend on.

Weights and the optimizer's state have the shapes of some settings, and the place in the data means
something in one stream only. `make.py` asks.
"""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import RequestError
from orchestrator.runs.plan import Forked
from orchestrator.settings.build import flatten, to_plain
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import changed_keys
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.recipe import course_of

_FREE = (
    *("name", "tags", "note", "cluster", "recovery", "notify", "tracking", "code", "extensions"),
    *("optim", "schedule", "compute", "checkpoint", "profile", "budget", "evaluation"),
    "corpus_cache",
)
_NOT_FREE = ("optim.kind", "compute.compile")


def fork_findings(job: Job, forked: Forked) -> Iterator[Finding]:
    if forked.step is None:
        return
    changed = changed_keys(flatten(to_plain(forked.job)), flatten(to_plain(job)))
    bound = {key: pair for key, pair in changed.items() if not _is_free(key)}
    for key, (old, new) in bound.items():
        yield _finding(key, f"={new}", f"was {old} in {forked.run}", forked)
    if isinstance(job, PretrainJob) and isinstance(forked.job, PretrainJob) and not bound:
        if _stretches(job) != _stretches(forked.job):
            rule = f"moves where samples become longer, which {forked.run} has seen in part"
            yield _finding("budget", "", rule, forked)
        last = job.budget.steps
        if last is not None and last <= forked.step:
            yield Finding(
                key="budget.steps",
                found=f"={last}",
                rule=f"is not beyond step {forked.step} of {forked.run}, with which it begins.",
                try_=f"more than {forked.step}, or an earlier --checkpoint.",
            )


def _is_free(key: str) -> bool:
    return key.partition(".")[0] in _FREE and key not in _NOT_FREE


def _stretches(job: PretrainJob) -> object:
    try:
        return course_of(job).phases
    except RequestError:
        return None  # which is told as a mistake of its own


def _finding(key: str, found: str, rule: str, forked: Forked) -> Finding:
    return Finding(
        key=key,
        found=found,
        rule=f"{rule}, and its checkpoint of step {forked.step} is of that.",
        try_="--checkpoint 0, which begins anew with these settings.",
    )
