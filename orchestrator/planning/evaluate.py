"""What an `evaluate` job would ask: its models found and frozen, the split read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from orchestrator.errors import OrchestratorError, RequestError, SettingsError
from orchestrator.planning.encoder import Frozen
from orchestrator.planning.pretrain import Outlook
from orchestrator.runs.origin import Origin, find_origin
from orchestrator.runs.storage import Storage
from orchestrator.settings.evaluate import EvaluateJob
from orchestrator.settings.finding import Finding
from orchestrator.tasks.evaluation import (
    asked_task,
    can_be_read_here,
    read_asked,
    refuse_unasked,
)
from orchestrator.tasks.findings import column_findings, metric_findings
from orchestrator.tasks.fitted import labels_for, record_at, refuse_other_kind
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.record import TaskRecord


def freeze_evaluation(frozen: Frozen, storage: Storage) -> Frozen:
    """With the whole name of the other model, and the task of the first where none was named."""
    job = frozen.job
    if not isinstance(job, EvaluateJob) or frozen.origin is None:
        return frozen
    lineage = dict(frozen.lineage)
    try:
        record = record_at(frozen.origin, job.encoder)
        if job.compare is not None:
            other = find_origin(job.compare, storage)
            refuse_other_kind(record_at(other, job.compare), job.task or record.task)
            if other.uri == frozen.origin.uri:
                raise RequestError(f"compare={job.compare} is the same model as encoder=.")
            job = replace(job, compare=other.frozen)
            lineage["compare"] = other.facts()
    except OrchestratorError as err:
        finding = Finding(key="", found=err.message, rule=err.hint or "")
        return replace(frozen, findings=(*frozen.findings, finding))
    return replace(frozen, job=replace(job, task=job.task or record.task), lineage=lineage)


def look_ahead_evaluation(job: EvaluateJob, origin: Origin | None) -> Outlook:
    outlook = Outlook()
    if origin is None or job.task is None:
        return outlook  # what is wrong is said already
    try:
        outlook.findings += _findings(job, record_at(origin, job.encoder), outlook)
    except SettingsError as err:
        outlook.findings += [Finding(key="", found=line, rule="") for line in err.lines]
    except OrchestratorError as err:
        outlook.findings.append(Finding(key="", found=err.message, rule=err.hint or ""))
    return outlook


def _findings(job: EvaluateJob, record: TaskRecord, outlook: Outlook) -> Iterator[Finding]:
    assert job.task is not None
    refuse_other_kind(record, job.task)
    yield from metric_findings(job.task)
    yield from column_findings(job.task, kind_of(job.task))
    task = asked_task(job.task, job.split, job.path)
    outlook.derived |= {"task": task.name, "split": job.split}
    if not can_be_read_here(task):
        outlook.warnings.append(f"{task.data.hub} is read, and checked, when the run starts.")
        return
    examples, problems = read_asked(task, job.split)
    labels = labels_for(record, task, examples)
    refuse_unasked(examples, problems, task, labels, job.split)
    outlook.derived |= {"examples": len(examples), "classes": len(labels.classes)}
    outlook.derived["tasks"] = -(-len(examples) // job.part_examples)
