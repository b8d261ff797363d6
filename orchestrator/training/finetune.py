"""Fine-tuning on one rank: examples of a task, and the loss of its head.

`cluster/finetune.py` calls `finetune` on every rank through Ray, sweeps in their trials, tests in
plain processes. At the end the model of the best measurement is written as a directory, and what
it scores as result.json, which comes last.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from orchestrator.corpus.packs.stream import Cursor
from orchestrator.encoder.build import open_encoder
from orchestrator.encoder.counts import count_flops
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.result import write_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.precision import Precision
from orchestrator.settings.task import TEST
from orchestrator.settings.transfer import Reading, Way
from orchestrator.tasks.directory import from_pooler, save_task_model
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import pack
from orchestrator.tasks.prepared import Portion, PreparedTask
from orchestrator.training.batches import Batches, share_of
from orchestrator.training.engine import Engine
from orchestrator.training.exporting import copy_directory
from orchestrator.training.loop import End, Ending, Lesson, train
from orchestrator.training.material import Measured, Steps, Tally
from orchestrator.training.passes import Finetuning, TaskBatch, Weighing
from orchestrator.training.plain import PlainEngine
from orchestrator.training.port import WorkerPort
from orchestrator.training.restoring import restorable
from orchestrator.training.schedule import curve_of
from orchestrator.training.scores import Scores
from orchestrator.training.setup import configure_torch
from orchestrator.training.standing import Standing
from orchestrator.training.transfer import prepare_encoder, shape_loss, share_by_layer


@dataclass(frozen=True, kw_only=True)
class TaskStart:
    """What a rank is told beside its job."""

    encoder: Path  # a Hugging Face directory on this node
    prepared: PreparedTask
    commit: Commit | None = None  # the checkpoint to go on from


def finetune(port: WorkerPort, job: FinetuneJob, start: TaskStart) -> Ending:
    configure_torch(job)
    model = make_model(job, start)
    shape_loss(model.head, start.prepared.training.features, job.transfer)
    if job.compute.checkpoint_activations:
        model.encoder.checkpoint_activations()
    if job.compute.compile:
        model.encoder.compile_layers()
    with restorable(port, job, start.commit) as restored:
        is_universal = restored is not None and restored.is_universal
        engine = _engine(port, job, model, from_universal=is_universal)
        standing = Standing()
        if restored is not None:
            port.show("restoring the checkpoint")
            engine.restore(restored.folder)
            standing = restored.standing
    material = TaskExamples(port, job, start.prepared, model, engine)
    if port.rank == 0:
        print(material.told(standing), flush=True)
    ending = train(port, job, Lesson(engine=engine, material=material, standing=standing))
    if ending.end is End.FINISHED:
        _conclude(port, job, start, material, ending)
    return ending


def make_model(job: FinetuneJob, start: TaskStart) -> TaskModel:
    """All ranks make the same: new weights follow from the seed."""
    directory = read_directory(start.encoder)
    settings = directory.model
    if (dropout := job.transfer.dropout) is not None:
        settings = replace(settings, dropout=dropout, attention_dropout=dropout)
    opened = open_encoder(directory, heads=WORDS_ONLY, seed=job.seed, model=settings)
    encoder = opened.encoder
    reading = job.transfer.reading
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(job.seed)
        head = kind_of(job.task).make_head(
            reading.width(settings.hidden),
            start.prepared.labels,
            job.task,
            dropout=settings.dropout,
        )
    if reading is Reading.LAST:
        from_pooler(head, start.encoder)
    prepare_encoder(encoder, job.transfer, seed=job.seed)
    return TaskModel(encoder, head, reading)


def _engine(
    port: WorkerPort, job: FinetuneJob, model: TaskModel, *, from_universal: bool
) -> Engine:
    """Chosen by settings, not by how many workers an attempt got: checkpoints must fit."""
    module = Finetuning(model, seed=job.seed)
    share = share_by_layer(model, job.transfer)
    if uses_plain_engine(job):
        return PlainEngine(
            module, job.optim, precision=job.precision, device=port.device, share=share
        )
    from orchestrator.training.zero import Division, ZeroEngine

    return ZeroEngine(
        module,
        Division(
            zero=job.zero,
            precision=job.precision,
            optim=job.optim,
            world=port.world,
            device=port.device,
            from_universal=from_universal,
            share=share,
        ),
    )


def uses_plain_engine(job: FinetuneJob) -> bool:
    is_alone = job.cluster.num_workers == 1 and job.zero.stage == 0
    return is_alone and job.precision is not Precision.FP16


def _conclude(
    port: WorkerPort, job: FinetuneJob, start: TaskStart, material: TaskExamples, ending: Ending
) -> None:
    """The best model again, if it is not the last; what it scores; and the model as a directory."""
    standing, engine = ending.standing, material.engine
    best = standing.step if standing.best_step is None else standing.best_step
    if best != standing.step:
        port.show(f"going back to step {best}, the best")
        commit = Checkpoints(port.run).read(best)
        with restorable(port, job, commit) as restored:
            assert restored is not None
            engine.restore(restored.folder)
    port.show("measuring the best model")
    splits = material.final_splits()
    scores = {name: material.score(portion) for name, portion in splits.items()}
    weights = engine.weights()
    if port.rank == 0:
        port.show("writing the model")
        result = {
            "task": job.task.name,
            "chosen_by": metrics_of(job.task)[0].name,
            "seed": job.seed,
            "steps": standing.step,
            "best_step": best,
            "metrics": {name: without_nan(values) for name, values in scores.items()},
            "examples": {name: len(each.examples) for name, each in splits.items()},
            "truncated_share": {
                name: each.features.truncated_share for name, each in splits.items()
            },
        }
        _write_model(port.run.child(layout.EXPORT), job, start, weights, result)
        write_result(port.run, result)
        for name, values in scores.items():
            told = ", ".join(f"{metric} {value:.4g}" for metric, value in values.items())
            print(f"step {best}, {name}: {told}", flush=True)
        port.note("scored", best_step=best, metrics=result["metrics"])
    if port.world > 1:
        distributed.barrier(group=port.control)


def _write_model(
    target: Storage,
    job: FinetuneJob,
    start: TaskStart,
    weights: dict[str, Tensor],
    result: dict[str, Any],
) -> None:
    module = Finetuning(make_model(job, start), seed=job.seed)
    module.load_state_dict(weights, strict=False)  # buffers are the module's own
    model = module.model
    if job.transfer.way is Way.ADAPTERS:
        from orchestrator.encoder.adapters import merge_adapters

        merge_adapters(model.encoder)
    lineage = {"kind": "task", "task": job.task.name, "encoder": job.encoder, "seed": job.seed}
    facts = {"metrics": result["metrics"], "lineage": lineage | {"step": result["best_step"]}}
    with tempfile.TemporaryDirectory(prefix="orchestrator-export-") as scratch:
        folder = Path(scratch) / "directory"
        save_task_model(
            folder,
            model.eval(),
            start.prepared.labels,
            job.task,
            start.encoder,
            facts=facts,
        )
        copy_directory(folder, target, lineage | {"result": result})


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


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
        self.engine = engine
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
        return self._scores.validation(self._prepared.evaluated, self._head.count)

    def final_splits(self) -> dict[str, Portion]:
        """Those that are measured once more with the best model; the test split only here."""
        splits = dict(self._prepared.evaluated)
        if self._job.evaluation.test and TEST in self._prepared.splits:
            splits[TEST] = self._prepared.splits[TEST]
        return splits

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
            + ("torch" if uses_plain_engine(job) else f"ZeRO {job.zero.stage}")
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
