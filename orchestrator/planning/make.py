"""A request → a Plan. Reads files and asks the cluster over HTTP; starts and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.cluster.http import RayHttp
from orchestrator.errors import StorageError
from orchestrator.planning.corpus import corpus_findings, derive_corpus, text_inside
from orchestrator.planning.encoder import Frozen, freeze_encoder
from orchestrator.planning.evaluate import freeze_evaluation, look_ahead_evaluation
from orchestrator.planning.finetune import look_ahead_task
from orchestrator.planning.fork import fork_findings
from orchestrator.planning.pipeline import (
    Promised,
    Steps,
    plan_steps,
    promised_encoder,
    without_promised,
)
from orchestrator.planning.predict import files_inside, look_ahead_prediction
from orchestrator.planning.pretrain import Outlook, Surroundings, look_ahead
from orchestrator.planning.resources import (
    ask_cluster,
    resource_findings,
    resource_warnings,
    this_machine,
)
from orchestrator.planning.sources import source_findings
from orchestrator.planning.sweep import look_ahead_sweep
from orchestrator.runs.code import CodeTree, read_tree
from orchestrator.runs.lineage import gather
from orchestrator.runs.plan import Forked, Plan, Resources
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.evaluate import EvaluateJob
from orchestrator.settings.finding import Finding
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.job import Job
from orchestrator.settings.load import change, load
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.settings.predict import PredictJob
from orchestrator.settings.prepare import PrepareJob
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.sweep import SweepJob

FindCluster = Callable[[Job], RayHttp | None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for, and where it would run."""

    kind: str
    overrides: tuple[str, ...]
    storage: str
    working_dir: Path
    find_cluster: FindCluster = lambda _: None  # a job → its cluster; None: here, on this machine
    start_from: Job | None = None  # overrides go on top of it; of a fork, of its parent's
    forked: Forked | None = None
    parent: dict[str, Any] | None = None
    promised: Promised | None = None  # what earlier steps of its pipeline will have made


def make_plan(request: Request) -> Plan:
    job, findings = _load(request)
    plan = Plan(
        kind=request.kind,
        job=job,
        overrides=request.overrides,
        storage=request.storage,
        lineage=gather(request.working_dir),
        parent=request.forked.to_plain() if request.forked else request.parent,
    )
    storage, storage_found = check_storage(request.storage)
    findings = [*findings, *storage_found]
    if job is None:
        return replace(plan, findings=tuple(findings))
    http = request.find_cluster(job)
    resources = ask_cluster(job, http) if http else this_machine(job)
    frozen = _freeze(job, request, storage, resources)
    steps = _plan_steps(frozen.job, request)
    known = request.promised.read if request.promised else {}
    code, code_found = _code([job, *steps.children.values()], request.working_dir, storage, known)
    findings += [*code_found, *resource_findings(job, resources)]
    findings += far_storage_findings(storage, resources)
    findings += source_findings(job, code)
    findings += frozen.findings
    outlook = _look_ahead(frozen, request, storage, resources)
    outlook = without_promised(outlook, job, request.promised, request.storage)
    return replace(
        plan,
        job=frozen.job,
        parent=plan.parent or frozen.parent,
        findings=(*findings, *steps.further(findings), *outlook.findings),
        code=code,
        resources=resources,
        derived=(steps.derived or derive(job)) | outlook.derived,
        lineage=plan.lineage | outlook.lineage | frozen.lineage,
        warnings=(*resource_warnings(job, resources), *steps.warnings, *outlook.warnings),
        children=steps.children,
    )


def _load(request: Request) -> tuple[Job | None, list[Finding]]:
    forked = request.forked
    first = forked.job if forked else request.start_from
    if first is None:
        return load(request.kind, request.overrides, working_dir=request.working_dir)
    job, findings = change(first, request.overrides, working_dir=request.working_dir)
    if job is not None and forked is not None:
        findings = [*findings, *fork_findings(job, forked)]
    return job, findings


def _freeze(job: Job, request: Request, storage: Storage | None, resources: Resources) -> Frozen:
    if storage is None:
        return Frozen(job=job)
    frozen = promised_encoder(job, request.promised) or freeze_encoder(
        job, storage, resources, request.overrides
    )
    return freeze_evaluation(frozen, storage, request.promised)


def _plan_steps(job: Job, request: Request) -> Steps:
    """Of a pipeline; another job has none."""
    if not isinstance(job, PipelineJob):
        return Steps()

    def plan_step(kind: str, overrides: tuple[str, ...], promised: Promised) -> Plan:
        step = Request(
            kind=kind,
            overrides=overrides,
            storage=request.storage,
            working_dir=request.working_dir,
            find_cluster=lambda _: request.find_cluster(job),  # one for all
            promised=promised,
        )
        return make_plan(step)

    return plan_steps(job, request.storage, plan_step)


def _look_ahead(
    frozen: Frozen, request: Request, storage: Storage | None, resources: Resources
) -> Outlook:
    """What only jobs of this kind have to be asked."""
    job = frozen.job
    if isinstance(job, PrepareJob):
        wrong = list(corpus_findings(job.corpus, resources))
        derived = {} if wrong else derive_corpus(job.corpus, request.storage)
        return Outlook(findings=wrong, derived=derived)
    if isinstance(job, EvaluateJob):
        return look_ahead_evaluation(job, frozen)
    if isinstance(job, PredictJob):
        return look_ahead_prediction(job, frozen.origin, resources)
    if isinstance(job, PretrainJob | FinetuneJob) and storage is not None:
        around = Surroundings(
            storage=storage,
            resources=resources,
            overrides=request.overrides,
            origin=frozen.origin,
            read=request.promised.read if request.promised else {},
        )
        if isinstance(job, SweepJob):
            return look_ahead_sweep(job, around)
        if isinstance(job, FinetuneJob):
            return look_ahead_task(job, around)
        return look_ahead(job, around)
    return Outlook()


def derive(job: Job) -> dict[str, Any]:
    """Every value that follows from the settings, printed once so that nobody has to guess it."""
    cluster = job.cluster
    return {
        "world": cluster.num_workers,
        "worlds_allowed": [cluster.least_workers, cluster.num_workers],
        "cpus": cluster.num_workers * cluster.cpus_per_worker,
        "gpus": cluster.num_workers * cluster.gpus_per_worker,
        "backend": "nccl" if cluster.gpus_per_worker else "gloo",
    }


def _code(
    jobs: Sequence[Job], working_dir: Path, storage: Storage | None, known: dict[str, Any]
) -> tuple[CodeTree, list[Finding]]:
    """Runs and text that are kept inside of the working directory do not travel with the code.

    The first job's settings count; after it come the steps of a pipeline. `known` is what earlier
    steps found.
    """
    inside = [storage.path()] if isinstance(storage, LocalStorage) else []
    settings = jobs[0].code
    for job in jobs:
        if isinstance(job, PrepareJob | PretrainJob):
            if job.corpus.path is not None and "://" not in job.corpus.path:
                inside.append(Path(job.corpus.path))
            text = text_inside(job.corpus, working_dir)
            settings = replace(settings, exclude=(*settings.exclude, *text))
        if isinstance(job, PredictJob):
            rows = files_inside(job, working_dir)
            settings = replace(settings, exclude=(*settings.exclude, *rows))
    key = f"code {settings!r} {inside!r}"
    if key not in known:
        known[key] = read_tree(working_dir, settings, leave_out=inside)
    tree, findings = known[key]
    return tree, findings


def check_storage(uri: str) -> tuple[Storage | None, list[Finding]]:
    try:
        storage = open_storage(uri)
        storage.list()  # asks for it: does it answer, does it let us in
    except StorageError as err:
        return None, [_about_storage(uri, err.message)]
    if not storage.has_container():
        return None, [_about_storage(uri, "names a bucket that does not exist.", "making it.")]
    if not isinstance(storage, LocalStorage):
        return storage, []
    folder = storage.path()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        return None, [_about_storage(uri, f"cannot be made: {folder} is not a folder.")]
    if problem := open_storage(folder).check_writable():
        return None, [_about_storage(uri, f"cannot be used: {problem}")]
    return storage, []


def far_storage_findings(storage: Storage | None, resources: Resources) -> list[Finding]:
    if not isinstance(storage, LocalStorage) or resources.is_this_machine or storage.is_shared():
        return []
    return [
        _about_storage(
            storage.uri,
            f"is a disk of this machine; the nodes of {resources.place} cannot see it.",
            "a folder that every node mounts, or an object store: --storage s3://…",
        )
    ]


def _about_storage(uri: str, rule: str, try_: str = "") -> Finding:
    return Finding(key="--storage", found=f" {uri}", rule=rule, try_=try_)
