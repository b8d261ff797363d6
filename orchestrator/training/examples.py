"""The examples of a task as the material of the loop: steps, their loss, and measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from orchestrator.corpus.packs.stream import Cursor
from orchestrator.encoder.counts import count_flops
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.task import TEST, VALIDATION
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import pack
from orchestrator.tasks.prepared import Portion, PreparedTask
from orchestrator.training.batches import Batches, share_of
from orchestrator.training.engine import Engine
from orchestrator.training.material import Measured, Steps, Tally
from orchestrator.training.passes import TaskBatch, Weighing
from orchestrator.training.port import WorkerPort
from orchestrator.training.schedule import curve_of
from orchestrator.training.scores import Scores
from orchestrator.training.standing import Standing


class TaskExamples:
    """The material of fine-tuning."""

    keeps_best = True

    def __init__(
        self,
        port: WorkerPort,
        job: FinetuneJob,
        prepared: PreparedTask,
        model: TaskModel,
        engine: Engine,
    ) -> None:
        self._port, self._job, self._prepared = port, job, prepared
        self._head, self._model = model.head, model.encoder.settings
        self._vocab_size = model.encoder.vocab_size
        features = prepared.training.features
        self._features = features
        self.batches = Batches(tokens_E=features.tokens_E, batch=job.batch, seed=job.seed)
        per_epoch = self.batches.steps_per_epoch
        self.num_steps = max(1, round(job.budget.epochs * per_epoch))
        self.evaluate_every = max(1, round(job.evaluation.every_epochs * per_epoch))
        self.max_duration = job.budget.max_duration
        self._curve = curve_of(job.schedule, end=self.num_steps)
        self._last: dict[str, float] = {}
        self._scores = Scores(port, job.task, prepared.labels, engine.evaluate)

    def is_over(self, standing: Standing) -> bool:
        patience = self._job.evaluation.patience
        has_stalled = patience is not None and standing.stale >= patience
        return has_stalled or standing.step >= self.num_steps

    def rate(self, standing: Standing) -> float:
        return self._curve.at(standing.step + 0.5)

    @contextmanager
    def steps(self, cursor: Cursor) -> Iterator[Steps]:
        yield _Steps(self, cursor)

    def share(self, cursor: Cursor) -> tuple[list[TaskBatch], Cursor]:
        """This rank's packs of the step that begins at the cursor."""
        packs, after = self.batches.step(cursor)
        batches = [
            TaskBatch(
                pack=pack(self._features, chosen).to(self._port.device),
                index=number,
                counts=counts,
                fed_hash=self.batches.fed_hash(cursor.epoch, chosen) if counts else 0,
            )
            for number, chosen, counts in share_of(
                packs, world=self._port.world, rank=self._port.rank
            )
        ]
        return batches, after

    def tally(self, micro_batches: list[TaskBatch]) -> Tally:
        fed = [batch for batch in micro_batches if batch.counts]
        flops = count_flops(
            self._model,
            vocab_size=self._vocab_size,
            lengths=(length for batch in fed for length in batch.pack.layout.lengths),
            num_predicted=0,
            num_pairs=0,
        )
        return Tally(
            counts=(sum(self._head.count(batch.pack) for batch in fed),),
            tokens=sum(batch.pack.num_tokens for batch in fed),
            flops=flops,
            fed_hash=sum(batch.fed_hash for batch in fed),
        )

    def weighing(self, step: int, counts: tuple[int, ...]) -> Any:
        return Weighing(step=step, counts=counts)

    def losses(self, sums: Tensor, counts: tuple[int, ...]) -> dict[str, float]:
        return {"train/loss": float(sums[0]) / max(counts[0], 1)}

    def measure(self) -> Measured | None:
        found = self._scores.validation(self._prepared.evaluated, self._head.count)
        self._last = found.values
        return found

    def final_splits(self) -> dict[str, Portion]:
        """Those that are measured once more with the best model; the test split only here."""
        splits = dict(self._prepared.evaluated)
        if self._job.evaluation.test and TEST in self._prepared.splits:
            splits[TEST] = self._prepared.splits[TEST]
        return splits

    def last_scores(self, name: str) -> dict[str, float] | None:
        """Of a split, as it was measured last in this process; None: it was not."""
        prefix = "eval/" if name == VALIDATION else f"eval/{name}/"
        found = {
            key.removeprefix(prefix): value
            for key, value in self._last.items()
            if key.startswith(prefix) and "/" not in key.removeprefix(prefix)
        }
        return found or None

    def score(self, portion: Portion) -> dict[str, float]:
        return self._scores.measure(portion, self._head.count)

    def told(self, standing: Standing) -> str:
        job, features = self._job, self._features
        rows = {
            "task": f"{job.task.name}, {job.task.kind}: {len(features):,} examples to train on",
            "cut": f"{features.truncated_share:.2%} of them have more than "
            f"{job.task.max_tokens} tokens",
            "step": f"{job.batch.examples} examples in packs of {job.batch.pack_examples}",
            "end": f"{self.num_steps:,} steps, {job.budget.epochs:g} epochs",
            "transfer": f"{job.transfer.way}, the head reads {job.transfer.reading}",
            "workers": f"{self._port.world} on {self._port.device}, "
            + ("torch" if job.trains_alone else f"ZeRO {job.zero.stage}")
            + f", {job.precision}",
        }
        if standing.step:
            rows["going on"] = f"after step {standing.step:,}"
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


class _Steps:
    """Made as they are asked for: examples are in memory, and laying some end to end is quick."""

    def __init__(self, examples: TaskExamples, cursor: Cursor) -> None:
        self.waited_s = 0.0
        self._examples, self._cursor = examples, cursor

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> tuple[list[Any], Cursor]:
        batches, self._cursor = self._examples.share(self._cursor)
        return batches, self._cursor
