"""What an `evaluate` job would ask: its models found and frozen, the split read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError, RequestError, SettingsError
from orchestrator.planning.encoder import Frozen
from orchestrator.planning.pipeline import Promised, is_promised
from orchestrator.planning.pretrain import Outlook
from orchestrator.runs.origin import Origin, find_origin
from orchestrator.runs.storage import Storage
from orchestrator.settings.evaluate import EvaluateJob
from orchestrator.settings.finding import Finding
from orchestrator.settings.task import Task
from orchestrator.tasks.evaluation import (
    asked_task,
    can_be_read_here,
    read_asked,
    refuse_other_labels,
    refuse_unasked,
)
from orchestrator.tasks.findings import column_findings, metric_findings, position_findings
from orchestrator.tasks.fitted import labels_for, record_at, refuse_other_kind
from orchestrator.tasks.kinds.kind import kind_of


def freeze_evaluation(frozen: Frozen, storage: Storage, promised: Promised | None) -> Frozen:
    """With the whole name of the other model, and the task of the first where none was named."""
    job, other = frozen.job, None
    if not isinstance(job, EvaluateJob) or frozen.origin is None:
        return frozen
    lineage = dict(frozen.lineage)
    try:
        record = record_at(frozen.origin, job.encoder)
        if job.compare is not None and not is_promised(job.compare, promised):
            other = find_origin(job.compare, storage)
            refuse_other_kind(record_at(other, job.compare), job.task or record.task)
            if other.uri == frozen.origin.uri:
                raise RequestError(f"compare={job.compare} is the same model as encoder=.")
            job = replace(job, compare=other.frozen)
            lineage["compare"] = other.facts()
    except OrchestratorError as err:
        finding = Finding(key="", found=err.message, rule=err.hint or "")
        return replace(frozen, findings=(*frozen.findings, finding))
    job = replace(job, task=job.task or record.task)
    return replace(frozen, job=job, compared=other, lineage=lineage)


def look_ahead_evaluation(job: EvaluateJob, frozen: Frozen) -> Outlook:
    outlook = Outlook()
    if frozen.origin is None or job.task is None:
        return outlook  # what is wrong is said already
    try:
        outlook.findings += _findings(job, job.task, frozen.origin, frozen.compared, outlook)
    except SettingsError as err:
        outlook.findings += [Finding(key="", found=line, rule="") for line in err.lines]
    except OrchestratorError as err:
        outlook.findings.append(Finding(key="", found=err.message, rule=err.hint or ""))
    return outlook


def _findings(
    job: EvaluateJob, asked: Task, origin: Origin, other: Origin | None, outlook: Outlook
) -> Iterator[Finding]:
    record = record_at(origin, job.encoder)
    refuse_other_kind(record, asked)
    yield from _position_findings(asked, origin, job.encoder)
    if other is not None:
        yield from _position_findings(asked, other, str(job.compare))
    yield from metric_findings(asked)
    yield from column_findings(asked, kind_of(asked))
    task = asked_task(asked, job.split, job.path)
    outlook.derived |= {"task": task.name, "split": job.split}
    if not can_be_read_here(task):
        outlook.warnings.append(f"{task.data.hub} is read, and checked, when the run starts.")
        return
    examples, problems = read_asked(task, job.split)
    labels = labels_for(record, task, examples)
    refuse_unasked(examples, problems, task, labels, job.split)
    if other is not None:
        name = str(job.compare)
        refuse_other_labels(labels, labels_for(record_at(other, name), task, examples), name)
    outlook.derived |= {"examples": len(examples), "classes": len(labels.classes)}
    outlook.derived["tasks"] = -(-len(examples) // job.part_examples)


def _position_findings(task: Task, origin: Origin, name: str) -> Iterator[Finding]:
    with nearby(origin.uri, has_weights=False) as folder:
        yield from position_findings(task, read_directory(folder).model.max_positions, name)
