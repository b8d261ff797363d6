"""The `evaluate` job's body: a split's examples, answered slice by slice as tasks, and a report.

Every example is asked once; with `compare` the other model is asked the same. What comes out is in
evaluation/ of the run's folder. An attempt that follows one that was killed asks again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.tasks import run_tasks
from orchestrator.errors import RequestError
from orchestrator.runs.origin import find_origin
from orchestrator.runs.result import write_result
from orchestrator.runs.storage import Storage
from orchestrator.settings.evaluate import EvaluateJob
from orchestrator.settings.task import Task
from orchestrator.tasks.evaluation import (
    Said,
    SliceWork,
    answer_lines,
    asked_task,
    joined,
    read_asked,
    refuse_other_labels,
    refuse_unasked,
)
from orchestrator.tasks.example import Example
from orchestrator.tasks.fitted import labels_for, record_at, refuse_other_kind
from orchestrator.tasks.kinds.kind import Predictions
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import metrics_of, outcome_of
from orchestrator.tasks.metrics.report import Report, report_of
from orchestrator.tasks.metrics.resample import Difference, compare
from orchestrator.tasks.metrics.told import as_markdown, as_text
from orchestrator.tasks.record import TaskRecord
from orchestrator.tracking.exhibits import write_picture
from orchestrator.tracking.metrics import MetricsWriter

FOLDER = "evaluation"


def evaluate(attempt: Attempt) -> None:
    job = attempt.job
    assert isinstance(job, EvaluateJob)
    attempt.progress.show("reading the examples")
    models = [_model(attempt, name) for name in (job.encoder, job.compare) if name is not None]
    asked = _read(job, models)
    attempt.ledger.record("running", workers=job.cluster.num_workers)
    said = _ask(attempt, models, asked)
    attempt.progress.show("measuring")
    found = _measure(job, asked, said, [model.name for model in models])
    _write(attempt, found, asked, said)
    print(as_text(found.report, found.differences, found.names), flush=True)


@dataclass(frozen=True, kw_only=True)
class _Model:
    name: str
    uri: str
    record: TaskRecord


@dataclass(frozen=True, kw_only=True)
class _Asked:
    task: Task
    examples: tuple[Example, ...]
    labels: tuple[Labels, ...]  # of each model


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """Of one model to all examples."""

    predictions: Predictions
    truncated_share: float


@dataclass(frozen=True, kw_only=True)
class _Found:
    report: Report
    differences: tuple[Difference, ...]
    names: tuple[str, ...]  # of the models


def _model(attempt: Attempt, name: str) -> _Model:
    origin = find_origin(name, attempt.run.parent)
    known = name if origin.run is None else origin.run.id
    return _Model(name=known, uri=origin.uri, record=record_at(origin, name))


def _read(job: EvaluateJob, models: Sequence[_Model]) -> _Asked:
    """What is asked; refused where a model does not fit it."""
    task = asked_task(job.task or models[0].record.task, job.split, job.path)
    for model in models:
        refuse_other_kind(model.record, task)
    if len({model.uri for model in models}) < len(models):
        raise RequestError(f"compare={job.compare} is the same model as encoder={job.encoder}.")
    metrics_of(task)
    examples, problems = read_asked(task, job.split)
    labels = tuple(labels_for(model.record, task, examples) for model in models)
    refuse_unasked(examples, problems, task, labels[0], job.split)
    refuse_other_labels(labels[0], labels[-1], models[-1].name)
    return _Asked(task=task, examples=examples, labels=labels)


def _ask(attempt: Attempt, models: Sequence[_Model], asked: _Asked) -> list[_Answers]:
    """One model after the other, so that a worker opens each once."""
    job = attempt.job
    assert isinstance(job, EvaluateJob)
    size, total = job.part_examples, len(asked.examples)
    items = [
        SliceWork(
            model=model.uri,
            extensions=job.extensions,
            device=job.cluster.device,
            task=asked.task,
            labels=labels,
            first=first,
            examples=asked.examples[first : first + size],
        )
        for model, labels in zip(models, asked.labels, strict=True)
        for first in range(0, total, size)
    ]
    sizes = [len(item.examples) for item in items]
    found: dict[tuple[str, int], Said] = {}
    for work, said in run_tasks(
        attempt,
        _answer,
        items,
        stage="answering",
        sizes=sizes,
        unit="examples",
        has_model=True,
    ):
        found[work.model, work.first] = said
    answers = []
    for model in models:
        parts = [found[model.uri, first] for first in range(0, total, size)]
        truncated = sum(part.num_truncated for part in parts)
        predictions = joined([part.predictions for part in parts])
        answers.append(_Answers(predictions=predictions, truncated_share=truncated / total))
    return answers


def _answer(work: SliceWork, tell: Callable[[int], None]) -> Said:
    from orchestrator.tasks.answering import answer_slice  # torch, transformers

    return answer_slice(work, tell)


def _measure(
    job: EvaluateJob, asked: _Asked, said: Sequence[_Answers], names: Sequence[str]
) -> _Found:
    # Both in the first one's numbers of classes, so that answers can be exchanged.
    outcomes = [outcome_of(asked.examples, one.predictions, asked.labels[0]) for one in said]
    report = report_of(
        asked.task,
        job.split,
        asked.examples,
        outcomes[0],
        truncated_share=said[0].truncated_share,
        resamples=job.resamples,
    )
    differences = [
        compare(metric, other, outcomes[0], resamples=job.resamples)
        for other in outcomes[1:]
        for metric in metrics_of(asked.task)
    ]
    return _Found(report=report, differences=tuple(differences), names=tuple(names))


def _write(attempt: Attempt, found: _Found, asked: _Asked, said: Sequence[_Answers]) -> None:
    run, report = attempt.run.storage, found.report
    plain = report.plain() | {
        "models": list(found.names),
        "differences": [_plain(one) for one in found.differences],
    }
    run.write(f"{FOLDER}/report.json", json.dumps(plain, indent=1, default=str).encode())
    told = as_markdown(report, found.differences, found.names)
    run.write(f"{FOLDER}/report.md", told.encode("utf-8", "replace"))
    for name, picture in report.pictures.items():
        run.write(f"{FOLDER}/{name}.svg", picture.encode())
        write_picture(run, name, 0, picture.encode(), "svg")
    _write_answers(run, asked.examples, [one.predictions for one in said])
    metrics = MetricsWriter(run, attempt=attempt.number, writer="driver")
    metrics.write(0, {f"{report.split}/{one.name}": one.value for one in report.metrics})
    metrics.close()
    values = {one.name: one.value if isfinite(one.value) else None for one in report.metrics}
    facts = {
        "models": list(found.names),
        "task": report.task,
        "examples": report.num_examples,
        "metrics": {report.split: values},
        "chosen_by": report.metrics[0].name,
    }
    attempt.ledger.record("evaluated", **facts)
    write_result(run, facts)


def _plain(difference: Difference) -> dict[str, Any]:
    plain = asdict(difference) | {"value": difference.value}
    return {
        key: value if key == "name" or isfinite(value) else None for key, value in plain.items()
    }


def _write_answers(run: Storage, examples: Sequence[Example], said: Sequence[Predictions]) -> None:
    writer = run.open_writer(f"{FOLDER}/predictions.jsonl")
    try:
        for line in answer_lines(examples, said[0], said[1] if len(said) > 1 else None):
            writer.write(f"{line}\n".encode("utf-8", "replace"))
    except BaseException:
        writer.abandon()
        raise
    writer.close()
