"""Fine-tuning on one rank: examples of a task, and the loss of its head.

`cluster/finetune.py` calls `finetune` on every rank through Ray, sweeps in their trials, tests in
plain processes. At the end the model of the best measurement is written as a directory, and what
it scores as result.json, which comes last.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from orchestrator.encoder.build import open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.result import write_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.transfer import Reading, Way
from orchestrator.tasks.directory import from_pooler, save_task_model
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.metrics.metric import metrics_of
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.prepared import PreparedTask
from orchestrator.training.engine import Engine
from orchestrator.training.examples import TaskExamples
from orchestrator.training.exporting import copy_directory
from orchestrator.training.loop import End, Ending, Lesson, train
from orchestrator.training.passes import Finetuning
from orchestrator.training.plain import PlainEngine
from orchestrator.training.port import WorkerPort
from orchestrator.training.restoring import restorable
from orchestrator.training.setup import configure_torch
from orchestrator.training.standing import Standing
from orchestrator.training.transfer import (
    num_trained,
    prepare_encoder,
    shape_loss,
    share_by_layer,
)


@dataclass(frozen=True, kw_only=True)
class TaskStart:
    """What a rank is told beside its job."""

    encoder: Path  # a Hugging Face directory on this node
    prepared: PreparedTask
    commit: Commit | None = None  # the checkpoint to go on from
    ends_saved: bool = True  # the last step too gets a checkpoint


def finetune(port: WorkerPort, job: FinetuneJob, start: TaskStart) -> Ending:
    configure_torch(job)
    lesson = _lesson(port, job, start, start.commit)
    if port.rank == 0:
        print(lesson.material.told(lesson.standing), flush=True)
    ending = train(port, job, lesson, at_end=partial(_conclude, port, job, start, lesson))
    if ending.end is End.FINISHED:
        if port.rank == 0:
            _tell_result(port, ending.made)
        if port.world > 1:
            distributed.barrier(group=port.control)
    return ending


@dataclass(frozen=True, kw_only=True)
class TaskLesson(Lesson):
    material: TaskExamples
    model: TaskModel  # what the engine trains


def _lesson(
    port: WorkerPort, job: FinetuneJob, start: TaskStart, commit: Commit | None
) -> TaskLesson:
    """A model, new or as a checkpoint has it, in an engine that fits the checkpoint's form."""
    model = make_model(job, start)
    prepared = start.prepared
    shape_loss(model.head, prepared.training.features, prepared.labels, job.transfer)
    if job.compute.checkpoint_activations:
        model.encoder.checkpoint_activations()
    if job.compute.compile:
        model.encoder.compile_layers()
    with restorable(port, job, commit) as restored:
        is_universal = restored is not None and restored.is_universal
        engine = _engine(port, job, model, from_universal=is_universal)
        standing = Standing()
        if restored is not None:
            port.show("restoring the checkpoint")
            engine.restore(restored.folder)
            standing = restored.standing
    material = TaskExamples(port, job, start.prepared, model, engine)
    return TaskLesson(
        engine=engine,
        material=material,
        standing=standing,
        model=model,
        ends_saved=start.ends_saved,
    )


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
    if job.trains_alone:
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


def _conclude(
    port: WorkerPort, job: FinetuneJob, start: TaskStart, lesson: TaskLesson, standing: Standing
) -> dict[str, Any]:
    """The best model again, if it is not the last; what it scores; and the model as a directory.

    All that goes in front of the result, which says that the run is done.
    """
    best = standing.step if standing.best_step is None else standing.best_step
    if best != standing.step:
        # In an engine of its own: another number of workers may have written it.
        port.show(f"going back to step {best}, the best")
        lesson = _lesson(port, job, start, Checkpoints(port.run).read(best))
    material = lesson.material
    port.show("measuring the best model")
    splits = material.final_splits()
    is_known = best == standing.step == standing.measured_step  # and its weights are still here
    scores = {
        name: (material.last_scores(name) if is_known else None) or material.score(portion)
        for name, portion in splits.items()
    }
    weights = None if job.trains_alone else lesson.engine.weights()  # all ranks have parts of them
    if port.rank:
        return {}
    port.show("writing the model")
    # Training is over, so the model itself may be given away where it is whole.
    model = lesson.model.cpu() if weights is None else _model_of(job, start, weights)
    result = {
        "task": job.task.name,
        "chosen_by": metrics_of(job.task)[0].name,
        "seed": job.seed,
        "steps": standing.step,
        "best_step": best,
        "metrics": {name: without_nan(values) for name, values in scores.items()},
        "examples": {name: len(each.examples) for name, each in splits.items()},
        "truncated_share": {name: each.features.truncated_share for name, each in splits.items()},
        "trained_s": round(standing.trained_s, 3),
        "trained_weights": num_trained(model),
    }
    _write_model(port.run.child(layout.EXPORT), model, job, start, result)
    return result


def _tell_result(port: WorkerPort, result: dict[str, Any]) -> None:
    write_result(port.run, result)
    for name, values in result["metrics"].items():
        told = ", ".join(f"{metric} {_number(value)}" for metric, value in values.items())
        print(f"step {result['best_step']}, {name}: {told}", flush=True)
    port.note("scored", best_step=result["best_step"], metrics=result["metrics"])


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.4g}"


def _model_of(job: FinetuneJob, start: TaskStart, weights: dict[str, Tensor]) -> TaskModel:
    """An engine has them under the names of its module."""
    model = make_model(job, start)
    Finetuning(model, seed=job.seed).load_state_dict(weights, strict=False)  # buffers are its own
    return model


def _write_model(
    target: Storage,
    model: TaskModel,
    job: FinetuneJob,
    start: TaskStart,
    result: dict[str, Any],
) -> None:
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
