"""Pretraining on one rank: packs of a corpus, and a loss of masked tokens and pairs.

`cluster/pretrain.py` calls `pretrain` on every rank through Ray; tests and benchmarks call it in
plain processes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from torch import Tensor

from orchestrator.corpus.packs.loader import Loader
from orchestrator.corpus.packs.stream import Cursor, Share
from orchestrator.encoder.counts import count_flops
from orchestrator.objectives.ready import ReadyPack, sample_lengths
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.choices import told_choices
from orchestrator.training.evaluating import Validation
from orchestrator.training.loop import Ending, Lesson, train
from orchestrator.training.material import Measured, Steps, Tally
from orchestrator.training.passes import Weighing
from orchestrator.training.port import WorkerPort
from orchestrator.training.recipe import course_of, share_of
from orchestrator.training.samples import MaskedSamples
from orchestrator.training.setup import Setup, Start, set_up
from orchestrator.training.standing import Standing


def pretrain(port: WorkerPort, job: PretrainJob, start: Start) -> Ending:
    with set_up(port, job, start) as setup:
        if port.rank == 0:
            print(told_choices(port, job, setup), flush=True)
        material = Packs(port, job, setup)
        lesson = Lesson(engine=setup.engine, material=material, standing=setup.standing)
        return train(port, job, lesson)


class Packs:
    """The material of pretraining."""

    keeps_best = False

    def __init__(self, port: WorkerPort, job: PretrainJob, setup: Setup) -> None:
        self._port, self._job, self._setup = port, job, setup
        self._course = course_of(job)
        self._model = setup.encoder.settings
        self._vocab_size = setup.encoder.vocab_size
        self.max_duration = job.budget.max_duration
        self.evaluate_every = job.evaluation.every_steps

    @property
    def num_steps(self) -> int | None:
        return self._course.horizon.steps if self._course.horizon else None

    def is_over(self, standing: Standing) -> bool:
        return self._course.is_over(standing.mark)

    def rate(self, standing: Standing) -> float:
        return self._course.rate(standing.mark)

    def steps(self, cursor: Cursor) -> AbstractContextManager[Steps]:
        setup = self._setup
        return Loader(setup.stream, self._share_at, cursor, transform=setup.transform)

    def tally(self, micro_batches: list[list[ReadyPack]]) -> Tally:
        packs = [pack for packs in micro_batches for pack in packs]
        counts = tuple(sum(term.count(pack) for pack in packs) for term in self._setup.terms)
        flops = count_flops(
            self._model,
            vocab_size=self._vocab_size,
            lengths=sample_lengths(packs),
            num_predicted=counts[0],
            num_pairs=sum(counts[1:]),
        )
        return Tally(
            counts=counts,
            tokens=sum(pack.num_tokens for pack in packs),
            flops=flops,
            fed_hash=sum(pack.fed_hash for pack in packs),
        )

    def weighing(self, step: int, counts: tuple[int, ...]) -> Any:
        return Weighing(step=step, counts=counts)

    def losses(self, sums: Tensor, counts: tuple[int, ...]) -> dict[str, float]:
        """Of each term the mean, and the loss that their weighted sum is."""
        values: dict[str, float] = {}
        loss = 0.0
        for term, total, count in zip(self._setup.terms, sums.tolist(), counts, strict=True):
            mean = total / max(count, 1)
            values[f"train/{term.name}_loss"] = mean
            loss += term.weight * mean
        return {"train/loss": loss, **values}

    def measure(self) -> Measured | None:
        if self._validation is None:
            return None
        evaluate = self._setup.engine.evaluate
        values = self._validation.measure(evaluate)
        samples = self._samples.read(evaluate) if self._samples else ()
        return Measured(values=values, loss=values["eval/loss"], samples=samples)

    @cached_property
    def _samples(self) -> MaskedSamples | None:
        first = self._validation.first if self._validation else None
        return MaskedSamples(first, self._setup.tokenizer) if first else None

    @cached_property
    def _validation(self) -> Validation | None:
        setup = self._setup
        if setup.validation is None or self.evaluate_every is None:
            return None
        return Validation(
            self._port,
            setup.validation,
            setup.terms,
            num_packs=self._job.evaluation.packs,
            transform=setup.transform,
        )

    def _share_at(self, packs_total: int) -> Share:
        packs = self._course.packs_per_step(packs_total)
        return share_of(self._job, packs, world=self._port.world, rank=self._port.rank)
