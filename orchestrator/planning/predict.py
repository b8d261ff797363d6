"""What a `predict` job would read and write: its files, a first row, and whether the model fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.corpus.text.files import File, locate
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError
from orchestrator.planning.pretrain import Outlook
from orchestrator.runs.origin import Kind, Origin
from orchestrator.runs.plan import Resources
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.settings.finding import Finding
from orchestrator.settings.predict import InputKind, OnBad, PredictJob
from orchestrator.tasks.example import BadRow
from orchestrator.tasks.findings import column_findings
from orchestrator.tasks.fitted import record_at
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.prediction.asking import Asking, asking_of
from orchestrator.tasks.prediction.rows import Rows
from orchestrator.tasks.prediction.spans import Span, input_files
from orchestrator.tasks.record import TaskRecord, is_task_directory


def look_ahead_prediction(job: PredictJob, origin: Origin | None, resources: Resources) -> Outlook:
    outlook = Outlook()
    outlook.findings += _output_findings(job, resources)
    try:
        files = input_files(job.input)
    except OrchestratorError as err:
        outlook.findings.append(_told(err))
        return outlook
    far = list(_far_findings(files, resources))
    outlook.findings += far
    outlook.derived |= _facts(job, files)
    if origin is None:
        return outlook  # what is wrong with it is said already
    try:
        record, positions = _model(job, origin)
        outlook.findings += _model_findings(job, record, positions)
        asking = asking_of(job, record, {kind for _, kind in files})
        if not far and job.input.on_bad is OnBad.ERROR:
            outlook.findings += _first_row_findings(job, asking, files)
    except OrchestratorError as err:
        outlook.findings.append(_told(err))
    return outlook


def files_inside(job: PredictJob, folder: Path) -> Iterator[str]:
    """The input and output below a folder, as seen from it: they do not travel with the code."""
    for path in (*job.input.path, *([job.output.path] if job.output.path else [])):
        if "://" not in path and Path(path).is_relative_to(folder):
            yield str(Path(path).relative_to(folder))


def _model(job: PredictJob, origin: Origin) -> tuple[TaskRecord | None, int | None]:
    """What it says of its task, where that is asked; and how many positions it has."""
    if origin.kind is Kind.CHECKPOINT and job.embed:
        return None, None
    if origin.kind is Kind.CHECKPOINT:
        return record_at(origin, job.encoder), None
    with nearby(origin.uri, has_weights=False) as folder:
        positions = read_directory(folder).model.max_positions
        is_plain = job.embed and not is_task_directory(folder)
    return (None if is_plain else record_at(origin, job.encoder)), positions


def _model_findings(
    job: PredictJob, record: TaskRecord | None, positions: int | None
) -> Iterator[Finding]:
    if job.max_tokens is not None and positions is not None and job.max_tokens > positions:
        yield Finding(
            key="max_tokens",
            found=f"={job.max_tokens}",
            rule=f"is more than the {positions} positions of encoder={job.encoder}.",
            try_=f"{positions}.",
        )
    if record is not None and not job.embed:
        task = replace(record.task, columns=job.input.columns)
        for finding in column_findings(task, kind_of(task)):
            key = finding.key.replace("task.columns", "input.columns")
            yield replace(finding, key=key)


def _first_row_findings(
    job: PredictJob, asking: Asking, files: list[tuple[File, InputKind]]
) -> Iterator[Finding]:
    """Most mistakes about columns show in the first row of the first file that has one."""
    for file, kind in files:
        end = 1 if kind is InputKind.PARQUET else None
        span = Span(uri=file.uri, kind=kind, begin=0, end=end, size_bytes=file.size_bytes)
        row = next(iter(Rows(span, job.input)), None)
        if row is None:
            continue
        try:
            if row.problem:
                raise BadRow(row.problem)
            asking.example(row.values)
        except BadRow as err:
            yield Finding(key="", found=f"{row.where(span)}:", rule=str(err), try_=err.try_)
        return


def _output_findings(job: PredictJob, resources: Resources) -> Iterator[Finding]:
    path = job.output.path
    if path is None:
        return
    storage, name = locate(path)
    if not resources.is_this_machine and storage.is_local and not _is_shared(path):
        yield _far("output.path", path, resources)
    try:
        there = storage.find(name) if name else None
    except OrchestratorError as err:
        yield _told(err)
        return
    if there is not None and (not there.is_dir or job.output.is_joined or storage.list(name)):
        what = "a folder" if there.is_dir and job.output.is_joined else "there already"
        yield Finding(
            key="output.path",
            found=f"={path}",
            rule=f"is {what}; nothing is written over.",
            try_="another name, or removing it.",
        )


def _far_findings(files: list[tuple[File, InputKind]], resources: Resources) -> Iterator[Finding]:
    if resources.is_this_machine:
        return
    far = [file.uri for file, _ in files if _is_near_only(file.uri)]
    if far:
        yield _far("input.path", f"{far[0]}{', …' if len(far) > 1 else ''}", resources)


def _is_near_only(uri: str) -> bool:
    return not uri.startswith("bundled:") and locate(uri)[0].is_local and not _is_shared(uri)


def _is_shared(uri: str) -> bool:
    storage = open_storage(uri)
    return isinstance(storage, LocalStorage) and storage.is_shared()


def _far(key: str, path: str, resources: Resources) -> Finding:
    return Finding(
        key=key,
        found=f"={path}",
        rule=f"is on a disk of this machine; the nodes of {resources.place} cannot see it.",
        try_="a folder that every node mounts, or an object store: s3://…",
    )


def _facts(job: PredictJob, files: list[tuple[File, InputKind]]) -> dict[str, Any]:
    return {
        "input_files": len(files),
        "input_bytes": sum(file.size_bytes for file, _ in files),
        "output": job.output.path or "prediction/ in the run's folder",
        "output_kind": job.output_kind.value,
    }


def _told(err: OrchestratorError) -> Finding:
    return Finding(key="", found=err.message, rule=err.hint or "")
