"""Pretraining on one rank of a group, told in the order in which it happens.

`cluster/pretrain.py` calls `pretrain` on every rank through Ray; tests and benchmarks call it in
plain processes. Whatever the world, the same steps see the same packs; rank 0 writes the numbers.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from orchestrator.corpus.packs.audit import StepRecord
from orchestrator.corpus.packs.loader import Loader
from orchestrator.corpus.packs.stream import Cursor, Share
from orchestrator.errors import RunFailed
from orchestrator.objectives.ready import ReadyPack
from orchestrator.runs.checkpoints import Commit, Keep
from orchestrator.settings.optim import OnNan
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.agree import Agreed, Feeding, Wishes, added_up
from orchestrator.training.choices import told_choices
from orchestrator.training.engine import Stepped
from orchestrator.training.evaluating import Validation
from orchestrator.training.meter import Meter, memory_bytes, peak_flops
from orchestrator.training.port import WorkerPort
from orchestrator.training.pretraining import Weighing
from orchestrator.training.recipe import course_of, share_of
from orchestrator.training.records import Records
from orchestrator.training.saving import Saver
from orchestrator.training.setup import Setup, Start, set_up
from orchestrator.training.standing import Standing
from orchestrator.training.tracing import Tracing


class TrainingDiverged(RunFailed):
    """A gradient is not a number; the weights are still those of the step before."""


class End(StrEnum):
    FINISHED = "finished"
    STOPPED = "stopped"
    OUT_OF_TIME = "out of time"  # budget.max_duration


@dataclass(frozen=True, kw_only=True)
class Ending:
    end: End
    step: int


def pretrain(port: WorkerPort, job: PretrainJob, start: Start) -> Ending:
    with set_up(port, job, start) as setup:
        course = course_of(job)
        num_steps = course.horizon.steps if course.horizon else None
        if port.rank == 0:
            print(told_choices(port, job, setup), flush=True)
        with closing(Records(port, num_steps=num_steps)) as records:
            return _Training(port, job, setup, records).run()


class _Training:
    def __init__(self, port: WorkerPort, job: PretrainJob, setup: Setup, records: Records) -> None:
        self._port, self._job, self._setup, self._records = port, job, setup, records
        self._course = course_of(job)
        self._standing = _with_allowance(setup.standing, job)
        self._feeding = Feeding(port, setup.encoder, setup.terms)
        self._meter = Meter(
            world=port.world,
            peak=_peak(port, job),
            spent_before_s=setup.standing.spent_s,
            trained_before_s=setup.standing.trained_s,
        )
        self._validation = _validation(port, job, setup)
        self._validation_loss: float | None = None
        self._tracing = Tracing(port, job.profile)
        self._end = End.STOPPED  # why rank 0 wished to stop
        self._saved_at, self._saved_step = time.monotonic(), setup.standing.step
        self._saver = Saver(
            port,
            Keep.of(job.checkpoint),
            before_commit=records.flush,
            tell=self._committed,
        )

    def run(self) -> Ending:
        setup, meter = self._setup, self._meter
        loader = Loader(
            setup.stream, self._share_at, self._standing.cursor, transform=setup.transform
        )
        try:
            with loader as steps:
                while not self._course.is_over(self._standing.mark):
                    meter.begin_step()
                    micro_batches, cursor = next(steps)
                    agreed = self._feeding.agree(micro_batches, self._wishes())
                    if agreed.must_stop:
                        return self._stop()
                    if agreed.is_due:
                        self._checkpoint()
                    with self._tracing.step(self._standing.step + 1):
                        sums, stepped = self._step(micro_batches, agreed)
                    self._account(agreed, cursor, sums, stepped, steps.waited_s)
                    self._after_step()
            self._evaluate()
            self._checkpoint()
            self._saver.wait()
        except BaseException:
            self._saver.abandon()
            raise
        return Ending(end=End.FINISHED, step=self._standing.step)

    def _share_at(self, packs_total: int) -> Share:
        packs = self._course.packs_per_step(packs_total)
        return share_of(self._job, packs, world=self._port.world, rank=self._port.rank)

    def _step(self, micro_batches: list[list[ReadyPack]], agreed: Agreed) -> tuple[Tensor, Stepped]:
        """Forward and backward of this rank's micro-batches, and the optimizer's step."""
        weighing = Weighing(step=self._standing.step, counts=agreed.counts)
        engine, last = self._setup.engine, len(micro_batches) - 1
        sums = torch.stack(
            [
                engine.accumulate(packs, weighing, is_last=number == last)
                for number, packs in enumerate(micro_batches)
            ]
        ).sum(dim=0)
        rate = self._job.optim.lr * self._course.rate(self._standing.mark)
        stepped = engine.step(rate)
        return added_up(self._port, sums), stepped

    def _account(
        self, agreed: Agreed, cursor: Cursor, sums: Tensor, stepped: Stepped, waited_s: float
    ) -> None:
        """What the step was: on record before anything goes on from it."""
        before, port = self._standing, self._port
        if not stepped.is_applied:
            self._refuse_nan(stepped, cursor)
        figures = self._meter.end_step(tokens=agreed.tokens, flops=agreed.flops, waited_s=waited_s)
        self._standing = replace(
            before,
            step=before.step + 1,
            cursor=cursor,
            tokens=before.tokens + agreed.tokens,
            trained_s=before.trained_s + figures["train/step_s"],
            allowance_s=before.allowance_s + figures["train/step_s"],
        )
        record = StepRecord(
            step=self._standing.step,
            attempt=port.attempt,
            begin=before.cursor,
            end=cursor,
            num_packs=cursor.packs_total - before.cursor.packs_total,
            fed_hash=agreed.fed_hash,
        )
        means = _means(self._setup, sums, agreed.counts)
        rate = self._job.optim.lr * self._course.rate(before.mark)
        values = means | {"train/lr": rate, "train/grad_norm": stepped.grad_norm}
        values |= figures | {"train/memory_bytes": memory_bytes(port.device)}
        self._records.step(record, self._standing, values)
        port.beat(self._standing.step)

    def _refuse_nan(self, stepped: Stepped, cursor: Cursor) -> None:
        step, begin = self._standing.step + 1, self._standing.cursor
        facts = {"step": step, "cursor": begin.to_plain(), "grad_norm": str(stepped.grad_norm)}
        if self._job.optim.on_nan is OnNan.SKIP:
            self._port.note("step_skipped", **facts)
            return
        self._port.note("diverged", **facts)
        raise TrainingDiverged(
            f"Step {step} has a gradient of norm {stepped.grad_norm}: its batch begins at "
            f"{begin}. The weights are those of step {self._standing.step}.",
            hint="Lower optim.lr, or optim.on_nan=skip: orchestrator fork RUN optim.lr=…",
        )

    def _after_step(self) -> None:
        step = self._standing.step
        if not self._course.is_over(self._standing.mark):
            if _is_multiple(step, self._job.evaluation.every_steps):
                self._evaluate()
            if _is_multiple(step, self._job.checkpoint.every_steps):
                self._checkpoint()
        self._saver.check()

    def _evaluate(self) -> None:
        if self._validation is None:
            return
        with self._meter.aside("evaluation"):
            values = self._validation.measure(self._setup.engine.evaluate)
        self._validation_loss = values["eval/loss"]
        self._records.evaluation(self._standing, values)

    def _checkpoint(self) -> None:
        if self._standing.step == self._saved_step:
            return
        with self._meter.aside("checkpoint"):
            standing = replace(self._standing, spent_s=self._meter.spent_s)
            facts: dict[str, Any] = {
                "standing": standing.to_plain(),
                "zero_stage": self._job.zero.stage,
                "precision": self._job.precision.value,
                "validation_loss": self._validation_loss,
            }
            self._saver.save(standing.step, self._setup.engine.snapshot(), facts)
        self._saved_at, self._saved_step = time.monotonic(), standing.step

    def _committed(self, commit: Commit) -> None:
        self._port.note("checkpoint_committed", step=commit.step)

    def _wishes(self) -> Wishes:
        """Rank 0's; that all may stop at the same step, the others have none."""
        if self._port.rank:
            return Wishes()
        is_stop = self._port.stop_reason() is not None
        limit = self._job.budget.max_duration
        if not is_stop and limit is not None and self._standing.allowance_s >= limit:
            self._end, is_stop = End.OUT_OF_TIME, True
        every = self._job.checkpoint.every
        is_due = every is not None and time.monotonic() - self._saved_at >= every
        return Wishes(stop=is_stop, checkpoint=is_due)

    def _stop(self) -> Ending:
        """The step before is whole, so this is a safe point: it is made one for good."""
        self._port.show("committing a checkpoint")
        self._checkpoint()
        self._saver.wait()
        return Ending(end=self._end, step=self._standing.step)


def _means(setup: Setup, sums: Tensor, counts: tuple[int, ...]) -> dict[str, float]:
    """Of each term, and the loss that their weighted sum is."""
    values: dict[str, float] = {}
    loss = 0.0
    for term, total, count in zip(setup.terms, sums.tolist(), counts, strict=True):
        mean = total / max(count, 1)
        values[f"train/{term.name}_loss"] = mean
        loss += term.weight * mean
    return {"train/loss": loss, **values}


def _with_allowance(standing: Standing, job: PretrainJob) -> Standing:
    """Who resumes a run that stopped at the end of its time gives it as much again."""
    limit = job.budget.max_duration
    is_used_up = limit is not None and standing.allowance_s >= limit
    return replace(standing, allowance_s=0.0) if is_used_up else standing


def _peak(port: WorkerPort, job: PretrainJob) -> float | None:
    if job.compute.peak_tflops is not None:
        return job.compute.peak_tflops * 1e12
    return peak_flops(port.device, job.precision)


def _validation(port: WorkerPort, job: PretrainJob, setup: Setup) -> Validation | None:
    if setup.validation is None or job.evaluation.every_steps is None:
        return None
    return Validation(
        port,
        setup.validation,
        setup.terms,
        num_packs=job.evaluation.packs,
        transform=setup.transform,
    )


def _is_multiple(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
