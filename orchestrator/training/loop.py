"""Training on one rank of a group, told in the order in which it happens.

`pretrain.py` and `finetune.py` bring what it trains on. Whatever the world, the same steps see the
same packs; rank 0 writes the numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from orchestrator.corpus.packs.audit import StepRecord
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.errors import RunFailed
from orchestrator.runs.checkpoints import Commit, Keep
from orchestrator.settings.optim import OnNan
from orchestrator.settings.training import TrainingJob
from orchestrator.training.agree import Agreed, Wishes, added_up, agree
from orchestrator.training.engine import Engine, Stepped
from orchestrator.training.material import Material
from orchestrator.training.meter import Meter, memory_bytes, peak_flops
from orchestrator.training.port import WorkerPort
from orchestrator.training.records import Records
from orchestrator.training.saving import Saver
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
    standing: Standing
    made: Any = None  # by `at_end`


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is trained, on what, and from where on."""

    engine: Engine
    material: Material
    standing: Standing
    ends_saved: bool = True  # a trial's last step needs no checkpoint: its model is written at once


def train(
    port: WorkerPort,
    job: TrainingJob,
    lesson: Lesson,
    *,
    at_end: Callable[[Standing], Any] = lambda _: None,
) -> Ending:
    """All ranks call it, and all come to the same end. `at_end` is for what can be done while the
    last checkpoint is written."""
    with closing(Records(port, num_steps=lesson.material.num_steps)) as records:
        return _Training(port, job, lesson, records).run(at_end)


class _Training:
    def __init__(
        self, port: WorkerPort, job: TrainingJob, lesson: Lesson, records: Records
    ) -> None:
        self._port, self._job, self._records = port, job, records
        self._engine, self._material = lesson.engine, lesson.material
        self._standing = _with_allowance(lesson.standing, lesson.material.max_duration)
        self._ends_saved = lesson.ends_saved
        self._meter = Meter(
            world=port.world,
            peak=_peak(port, job),
            spent_before_s=self._standing.spent_s,
            trained_before_s=self._standing.trained_s,
        )
        self._tracing = Tracing(port, job.profile)
        self._end = End.STOPPED  # why rank 0 wished to stop
        self._saved_at, self._saved_step = time.monotonic(), self._standing.step
        keep = Keep.of(job.checkpoint)
        if self._material.keeps_best:  # it is gone back to at the end
            keep = replace(keep, best=max(keep.best, 1))
        self._saver = Saver(
            port,
            keep,
            before_commit=records.flush,
            tell=self._committed,
        )

    def run(self, at_end: Callable[[Standing], Any]) -> Ending:
        material, meter = self._material, self._meter
        try:
            with material.steps(self._standing.cursor) as steps:
                while not material.is_over(self._standing):
                    meter.begin_step()
                    micro_batches, cursor = next(steps)
                    agreed = agree(self._port, material.tally(micro_batches), self._wishes())
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
            try:
                made = at_end(self._standing)
            finally:
                self._saver.wait()  # whatever came of that, the last step is safe
        except BaseException:
            self._saver.abandon()
            raise
        return self._ending(End.FINISHED, made)

    def _step(self, micro_batches: list[Any], agreed: Agreed) -> tuple[Tensor, Stepped]:
        """Forward and backward of this rank's micro-batches, and the optimizer's step."""
        weighing = self._material.weighing(self._standing.step, agreed.counts)
        engine, last = self._engine, len(micro_batches) - 1
        sums = torch.stack(
            [
                engine.accumulate(packs, weighing, is_last=number == last)
                for number, packs in enumerate(micro_batches)
            ]
        ).sum(dim=0)
        stepped = engine.step(self._rate(self._standing))
        return added_up(self._port, sums), stepped

    def _rate(self, standing: Standing) -> float:
        return self._job.optim.lr * self._material.rate(standing)

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
        values = self._material.losses(sums, agreed.counts)
        values |= {"train/lr": self._rate(before), "train/grad_norm": stepped.grad_norm}
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
        if not self._material.is_over(self._standing):
            if _is_multiple(step, self._material.evaluate_every):
                self._evaluate()
            if _is_multiple(step, self._job.checkpoint.every_steps):
                self._checkpoint()
        self._saver.check()

    def _evaluate(self) -> None:
        if self._standing.measured_step == self._standing.step:
            return
        with self._meter.aside("evaluation"):
            measured = self._material.measure()
        if measured is None:
            return
        self._standing = self._standing.measured(measured.loss)
        self._records.evaluation(self._standing, measured)
        if self._material.keeps_best and self._standing.best_step == self._standing.step:
            self._checkpoint()
        self._port.measured(self._standing.step, measured.values)

    def _checkpoint(self) -> None:
        if self._standing.step == self._saved_step:
            return
        if not self._ends_saved and self._material.is_over(self._standing):
            return
        with self._meter.aside("checkpoint"):
            standing = replace(self._standing, spent_s=self._meter.spent_s)
            facts: dict[str, Any] = {
                "standing": standing.to_plain(),
                "zero_stage": self._job.zero.stage,
                "precision": self._job.precision.value,
                "validation_loss": standing.validation_loss,
            }
            self._saver.save(standing.step, self._engine.snapshot(), facts)
        self._saved_at, self._saved_step = time.monotonic(), standing.step

    def _committed(self, commit: Commit) -> None:
        self._port.note("checkpoint_committed", step=commit.step)

    def _wishes(self) -> Wishes:
        """Rank 0's; that all may stop at the same step, the others have none."""
        if self._port.rank:
            return Wishes()
        is_stop = self._port.stop_reason() is not None
        limit = self._material.max_duration
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
        return self._ending(self._end)

    def _ending(self, end: End, made: Any = None) -> Ending:
        return Ending(end=end, step=self._standing.step, standing=self._standing, made=made)


def _with_allowance(standing: Standing, limit: float | None) -> Standing:
    """Who resumes a run that stopped at the end of its time gives it as much again."""
    is_used_up = limit is not None and standing.allowance_s >= limit
    return replace(standing, allowance_s=0.0) if is_used_up else standing


def _peak(port: WorkerPort, job: TrainingJob) -> float | None:
    if job.compute.peak_tflops is not None:
        return job.compute.peak_tflops * 1e12
    return peak_flops(port.device, job.precision)


def _is_multiple(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
