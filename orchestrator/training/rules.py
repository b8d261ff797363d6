"""Rules between the nouns of a training job, which no noun can check alone. Pure.

`planning` calls `training_findings` and `training_warnings`; a job of any kind that has the nouns
will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.evaluation import Evaluation
from orchestrator.settings.finding import Finding
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.schedule import Schedule, ScheduleKind
from orchestrator.settings.zero import Zero
from orchestrator.training.schedule import Course


class Trained(Protocol):
    """A job that trains."""

    @property
    def batch(self) -> Batch: ...
    @property
    def optim(self) -> Optim: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def zero(self) -> Zero: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def budget(self) -> Budget: ...
    @property
    def checkpoint(self) -> Checkpoint: ...
    @property
    def evaluation(self) -> Evaluation: ...
    @property
    def cluster(self) -> Cluster: ...


def training_findings(job: Trained, *, max_positions: int | None) -> Iterator[Finding]:
    """For a job whose nouns are right by themselves. `max_positions` of the model; None: any."""
    yield from device_findings(job.precision, job.zero, job.cluster)
    yield from length_findings(job.batch, max_positions)
    yield from share_findings(job.batch, job.cluster)
    yield from horizon_findings(Course(batch=job.batch, schedule=job.schedule, budget=job.budget))
    yield from best_findings(job.checkpoint, job.evaluation)


def training_warnings(job: Trained) -> Iterator[str]:
    yield from share_warnings(job.batch, job.cluster)
    yield from end_warnings(job.schedule, job.budget)


def device_findings(precision: Precision, zero: Zero, cluster: Cluster) -> Iterator[Finding]:
    if cluster.gpus_per_worker:
        return
    if precision is Precision.FP16:
        yield Finding(
            key="precision",
            found="=fp16",
            rule="needs GPUs, and cluster.gpus_per_worker=0.",
            try_="precision=bf16.",
        )
    for key in ("offload_optimizer", "offload_parameters"):
        if getattr(zero, key):
            yield Finding(
                key=f"zero.{key}",
                found="=true",
                rule="takes memory off a GPU, and cluster.gpus_per_worker=0.",
                try_=f"zero.{key}=false.",
            )


def length_findings(batch: Batch, max_positions: int | None) -> Iterator[Finding]:
    if max_positions is not None and batch.seq_len > max_positions:
        yield Finding(
            key="batch.seq_len",
            found=f"={batch.seq_len}",
            rule=f"is more than the {max_positions} positions of the model.",
            try_=f"{max_positions}.",
        )


def share_findings(batch: Batch, cluster: Cluster) -> Iterator[Finding]:
    """A worker without a single pack in any step is a mistake; with one in some, it is a choice."""
    busy = -(-batch.packs // batch.micro_packs)
    if cluster.num_workers <= busy:
        return
    tokens = cluster.num_workers * batch.micro_packs * batch.pack_tokens
    yield Finding(
        key="cluster.num_workers",
        found=f"={cluster.num_workers}",
        rule=f"is more than the {busy} micro-batches of a step of {batch.packs} packs: "
        f"{cluster.num_workers - busy} workers would never have any.",
        try_=f"cluster.num_workers={busy} or batch.global_tokens={tokens}.",
    )


def share_warnings(batch: Batch, cluster: Cluster) -> Iterator[str]:
    """Worlds that the run may have in which workers wait for others in each step."""
    idle = {
        world: idle_share(batch.packs, world * batch.micro_packs)
        for world in range(cluster.least_workers, cluster.num_workers + 1)
    }
    worst = max(idle, key=lambda world: idle[world])
    if idle[worst] > 0.1:
        yield (
            f"{worst} workers with batch.micro_packs={batch.micro_packs} compute {batch.packs} "
            f"packs in {math.ceil(batch.packs / (worst * batch.micro_packs))} rounds and idle for "
            f"{idle[worst]:.0%} of them."
        )
    start = idle_share(batch.start_packs, cluster.num_workers * batch.micro_packs)
    if batch.start_packs < batch.packs and start > 0.1:
        yield (
            f"{cluster.num_workers} workers idle for {start:.0%} of the first steps: "
            f"batch.start_tokens={batch.start_tokens} is {batch.start_packs} packs."
        )


def idle_share(packs: int, at_once: int) -> float:
    """Of the packs that fit in the rounds of a step, those of weight zero."""
    rounds = -(-packs // at_once)
    return 1 - packs / (rounds * at_once)


def horizon_findings(course: Course) -> Iterator[Finding]:
    batch, schedule, end = course.batch, course.schedule, course.horizon
    if end is None:
        yield from _endless_findings(batch, schedule)
        return
    curve = course.curve
    length = f"{end.steps} steps of {end.packs * batch.pack_tokens} nominal tokens"
    if schedule.kind is not ScheduleKind.CONSTANT and curve.warmup >= curve.end:
        yield Finding(
            key="schedule.warmup",
            found=f"={schedule.warmup:g}",
            rule=f"{schedule.counted_in} is all of the run's {length}.",
            try_="0.01, a share of them.",
        )
    elif schedule.kind is ScheduleKind.WSD and curve.warmup + curve.decay > curve.end:
        yield Finding(
            key="schedule.decay",
            found=f"={schedule.decay:g}",
            rule=f"and schedule.warmup={schedule.warmup:g} are more than the run's {length}.",
            try_="0.1, a share of them.",
        )
    if batch.ramp_packs >= end.packs:
        yield Finding(
            key="batch.ramp_tokens",
            found=f"={batch.ramp_tokens}",
            rule=f"is all of the run's {length}: it would end before the batch has grown.",
            try_=f"{end.packs // 10 * batch.pack_tokens}.",
        )


def _endless_findings(batch: Batch, schedule: Schedule) -> Iterator[Finding]:
    rule = "goes by the end of the run, which budget.max_duration alone does not tell."
    try_ = "budget.steps=… or budget.tokens=…"
    if schedule.kind is not ScheduleKind.CONSTANT:
        other = f"{try_}, or schedule.kind=constant."
        yield Finding(key="schedule.kind", found=f"={schedule.kind}", rule=rule, try_=other)
    elif schedule.needs_horizon:
        other = f"{try_}, or a count of {schedule.counted_in}."
        found = f"={schedule.warmup:g}"
        yield Finding(key="schedule.warmup", found=found, rule=rule, try_=other)
    if batch.shorter_first:
        yield Finding(key="batch.shorter_first", found="", rule=rule, try_=f"{try_}.")


def end_warnings(schedule: Schedule, budget: Budget) -> Iterator[str]:
    if schedule.kind is not ScheduleKind.CONSTANT and budget.max_duration is not None:
        yield (
            f"budget.max_duration may end the run before schedule.kind={schedule.kind} has come "
            "down: it goes by budget.steps or budget.tokens."
        )


def best_findings(checkpoint: Checkpoint, evaluation: Evaluation) -> Iterator[Finding]:
    if checkpoint.keep_best and evaluation.every_steps is None:
        yield Finding(
            key="checkpoint.keep_best",
            found=f"={checkpoint.keep_best}",
            rule="goes by the validation loss, and evaluation.every_steps=null never takes it.",
            try_="evaluation.every_steps=1000.",
        )
