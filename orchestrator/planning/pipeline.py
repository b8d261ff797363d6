"""What a `pipeline` job would be: each of its steps composed and checked as a job of its own.

What a step needs and an earlier one makes is not there yet, so it is taken for granted: a corpus,
and the encoder that `@STEP` names. `make.py` hands in its own planning; nothing is started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from orchestrator.corpus import layout as corpus_layout
from orchestrator.corpus.layout import corpus_uri
from orchestrator.planning.encoder import Frozen
from orchestrator.planning.pretrain import Outlook
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import open_storage
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import KINDS
from orchestrator.settings.model import Model
from orchestrator.settings.pipeline import REFERENCE, REFERRING, PipelineJob, above
from orchestrator.settings.prepare import PrepareJob
from orchestrator.settings.pretrain import PretrainJob

T = TypeVar("T")

# Kind of job → the kinds of which it can take an encoder.
_TAKES = {
    "pretrain": ("pretrain", "export"),
    "finetune": ("pretrain", "export", "finetune", "sweep"),
    "sweep": ("pretrain", "export", "finetune", "sweep"),
    "export": ("pretrain",),
    "evaluate": ("finetune", "sweep"),
    "predict": ("finetune", "sweep", "pretrain", "export"),
}


@dataclass(frozen=True, kw_only=True)
class Promised:
    """What the steps before one will have made when it begins."""

    jobs: dict[str, Job] = field(default_factory=dict)  # by the names of the steps
    models: dict[str, Model] = field(default_factory=dict)  # of those that make an encoder
    corpora: frozenset[str] = frozenset()  # URIs
    read: dict[str, Any] = field(default_factory=dict)  # data, tokenizers, code: once for all steps


PlanStep = Callable[[str, tuple[str, ...], Promised], Plan]


@dataclass(kw_only=True)
class Steps:
    """All of a pipeline's steps, planned."""

    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    children: dict[str, Job] = field(default_factory=dict)

    @property
    def derived(self) -> dict[str, Any]:
        return {"steps": self.rows} if self.rows else {}

    def further(self, found: Sequence[Finding]) -> list[Finding]:
        """Of these findings, those that are not the whole pipeline's too, and told already."""
        told = {str(finding) for finding in found}
        return [one for one in self.findings if str(one).partition(": ")[2] not in told]


def plan_steps(job: PipelineJob, storage: str, plan_step: PlanStep) -> Steps:
    graph = job.graph()
    steps = Steps(findings=list(_graph_findings(job)))
    if steps.findings:
        return steps
    models: dict[str, Model] = {}
    plans: dict[str, Plan] = {}
    read: dict[str, Any] = {}
    found: dict[str, list[Finding]] = {}
    for name in TopologicalSorter(graph).static_order():
        before = above(graph, name)
        jobs = {other: steps.children[other] for other in before if other in steps.children}
        if len(jobs) < len(before):
            continue  # what is wrong with those is said already
        promised = Promised(
            jobs=jobs,
            models={other: models[other] for other in jobs if other in models},
            corpora=_corpora(jobs.values(), storage),
            read=read,
        )
        made = plan_step(job.members[name].step.job, job.overrides_of(name), promised)
        plans[name], found[name] = made, list(made.findings)
        if made.job is None:
            continue
        found[name] += _step_findings(made.job, promised)
        steps.children[name] = made.job
        if (model := _model_of(made.job, promised)) is not None:
            models[name] = model
    steps.findings += [_of_steps(names, one) for names, one in _once(job, found)]
    steps.findings += _unordered(steps.children, graph, storage)
    warned = {name: made.warnings for name, made in plans.items()}
    steps.warnings += [f"step {names}: {warning}" for names, warning in _once(job, warned)]
    steps.rows += _rows(job, {name: plans[name] for name in graph if name in steps.children})
    return steps


def promised_encoder(job: Job, promised: Promised | None) -> Frozen | None:
    """A job whose encoder an earlier step will make; None where it is to be looked for."""
    text = getattr(job, "encoder", None)
    match = REFERENCE.fullmatch(text or "")
    if promised is None or match is None or match[1] not in promised.jobs:
        return None
    model = promised.models.get(match[1])
    if model is None or not hasattr(job, "model"):
        return Frozen(job=job)
    changes: dict[str, Any] = {"model": model}
    return Frozen(job=replace(job, **changes))


def is_promised(text: str, promised: Promised | None) -> bool:
    match = REFERENCE.fullmatch(text)
    return promised is not None and match is not None and match[1] in promised.jobs


def without_promised(
    outlook: Outlook, job: Job, promised: Promised | None, storage: str
) -> Outlook:
    """Not a mistake: a corpus that an earlier step will have made."""
    if promised is None or not isinstance(job, PretrainJob):
        return outlook
    uri = corpus_uri(storage, job.corpus)
    if uri in promised.corpora and not _is_made(uri):
        outlook.findings = [one for one in outlook.findings if one.key != "corpus"]
    return outlook


def _is_made(uri: str) -> bool:
    return open_storage(uri).exists(corpus_layout.MANIFEST)


def _graph_findings(job: PipelineJob) -> Iterator[Finding]:
    for name, step in job.pipeline.steps.items():
        if step.job not in KINDS or step.job == PipelineJob.kind:
            kinds = [kind for kind in KINDS if kind != PipelineJob.kind]
            yield Finding(
                key=f"pipeline.steps.{name}.job",
                found=f"={step.job}",
                rule="is not a job that a step can be.",
                try_=did_you_mean(step.job, kinds),
            )
    known, told = job.members, set()
    for name, member in known.items():
        for other in job.references_of(name):
            if other not in known and (member.of, other) not in told:
                told.add((member.of, other))
                yield _unknown(job, member.of, other)
    graph = {name: [one for one in afters if one in known] for name, afters in job.graph().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as err:
        circle = [str(name) for name in reversed(err.args[1])]
        said = " → ".join(circle)
        rule = "waits for itself." if len(set(circle)) == 1 else "wait for each other."
        yield Finding(key="pipeline.steps", found=said, rule=rule, try_="another `after`.")


def _unknown(job: PipelineJob, step: str, other: str) -> Finding:
    runs = job.runs_of(other)
    if not runs:
        try_ = did_you_mean(other, job.members)
        return Finding(key=f"step {step}", found=f"@{other}", rule="is not a step.", try_=try_)
    return Finding(
        key=f"step {step}",
        found=f"@{other}",
        rule=f"is {len(runs)} runs, and not one for each of this step's own.",
        try_=f"@{runs[0]}, or values for each that both have.",
    )


def _of_steps(names: str, finding: Finding) -> Finding:
    """As the step's own plan would tell it, with its name before."""
    told = str(replace(finding, rule="", try_="")).strip()
    return replace(finding, key=f"step {names}", found=told)


def _once(job: PipelineJob, told: Mapping[str, Sequence[T]]) -> Iterator[tuple[str, T]]:
    """What several runs of a step have to say in the same words, with how many they are."""
    sayers: dict[tuple[str, T], list[str]] = {}
    for name in job.members:
        for one in told.get(name, ()):
            sayers.setdefault((job.members[name].of, one), []).append(name)
    for (_, one), names in sayers.items():
        more = f" and {len(names) - 1} more" if names[1:] else ""
        yield f"{names[0]}{more}", one


def _step_findings(job: Job, promised: Promised) -> Iterator[Finding]:
    for key in REFERRING:
        text = getattr(job, key, None)
        if text == "@last":
            yield Finding(
                key=key,
                found="=@last",
                rule="would be whatever run is the newest when the step begins.",
                try_=f"{key}=@STEP, with the name of the step that makes it.",
            )
        match = REFERENCE.fullmatch(text or "")
        if match and match[1] in promised.jobs:
            kind = promised.jobs[match[1]].kind
            takes = _TAKES.get(job.kind, tuple(KINDS))
            if kind not in takes:
                yield Finding(
                    key=key,
                    found=f"={text}",
                    rule=f"is a {kind}; a {job.kind} takes what a step of kind "
                    f"{' or '.join(takes)} made.",
                )


def _unordered(
    children: dict[str, Job], graph: dict[str, tuple[str, ...]], storage: str
) -> Iterator[Finding]:
    """A corpus that some step makes, and that another reads without waiting for it."""
    makers = {
        corpus_uri(storage, job.corpus): name
        for name, job in children.items()
        if isinstance(job, PrepareJob)
    }
    for name, job in children.items():
        if not isinstance(job, PretrainJob):
            continue
        maker = makers.get(corpus_uri(storage, job.corpus))
        if maker is not None and maker not in above(graph, name):
            yield Finding(
                key=f"pipeline.steps.{name}.after",
                found="",
                rule=f"lacks {maker}, which makes its corpus.",
                try_=f"after: [{', '.join([*graph[name], maker])}].",
            )


def _corpora(jobs: Any, storage: str) -> frozenset[str]:
    return frozenset(corpus_uri(storage, job.corpus) for job in jobs if isinstance(job, PrepareJob))


def _model_of(job: Job, promised: Promised) -> Model | None:
    if isinstance(job, PretrainJob):
        return job.model
    match = REFERENCE.fullmatch(getattr(job, "encoder", None) or "")
    return promised.models.get(match[1]) if match else None


def _rows(job: PipelineJob, plans: Mapping[str, Plan]) -> Iterator[dict[str, Any]]:
    """Those that differ only in what all steps are done for each of, as in seeds, are one."""
    common = set(job.pipeline.each)
    folded: dict[tuple[Any, ...], list[str]] = {}
    for name in plans:
        member = job.members[name]
        own = {key: str(value) for key, value in member.values.items() if key not in common}
        folded.setdefault((member.of, *own.items()), []).append(name)
    for names in folded.values():
        plan, member = plans[names[0]], job.members[names[0]]
        assert plan.job is not None
        durations = [plans[name].derived.get("duration_s") for name in names]
        yield {
            "step": names[0],
            "job": plan.kind,
            "runs": len(names) if common else None,
            "for_each": _for_each([job.members[name].values for name in names]),
            "after": ", ".join(job.waits_for(names[0])),
            "workers": plan.job.cluster.num_workers,
            "steps": plan.derived.get("steps"),
            "duration_s": None if None in durations else sum(durations),
        }


def _for_each(values: Sequence[Mapping[str, Any]]) -> str:
    told = {key: dict.fromkeys(str(one[key]) for one in values) for key in values[0]}
    return ", ".join(f"{key}={' '.join(some)}" for key, some in told.items())
