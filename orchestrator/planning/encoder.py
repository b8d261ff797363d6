"""What `encoder=` means, looked up once when a job is planned and frozen in its job.yaml.

So a resumed run starts from the same weights, however many runs came since. The model's settings
become those of the encoder, since its size is no longer a choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError
from orchestrator.runs.origin import Kind, Origin, find_origin, has_choice
from orchestrator.runs.plan import Resources
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.export import ExportJob
from orchestrator.settings.finding import Finding
from orchestrator.settings.job import Job
from orchestrator.settings.model import Model
from orchestrator.settings.pretrain import PretrainJob

J = TypeVar("J", bound=Job)


@dataclass(frozen=True, kw_only=True)
class Frozen:
    job: Job
    origin: Origin | None = None
    compared: Origin | None = None  # the other model of an evaluation
    findings: tuple[Finding, ...] = ()
    lineage: dict[str, Any] = field(default_factory=dict)

    @property
    def parent(self) -> dict[str, Any] | None:
        """As a fork has one: it is not pruned before its children."""
        if self.origin is None or self.origin.run is None:
            return None
        run = self.origin.run
        return {"run": run.id, "uri": run.uri, "checkpoint_step": self.origin.step}


def freeze_encoder(
    job: Job, storage: Storage, resources: Resources, overrides: Sequence[str]
) -> Frozen:
    """`storage` is where runs are found."""
    text = _asked(job)
    if text is None:
        return Frozen(job=job)
    try:
        origin = find_origin(text, storage)
        model = model_of_origin(origin)
    except OrchestratorError as err:
        finding = Finding(key="", found=err.message, rule=err.hint or "")
        return Frozen(job=job, findings=(finding,))
    findings = [*_far_findings(origin, resources), *_model_findings(text, overrides)]
    if isinstance(job, ExportJob) and origin.kind is not Kind.CHECKPOINT:
        rule = f"is a directory already: {origin.uri}."
        findings.append(Finding(key="encoder", found=f"={text}", rule=rule))
    return Frozen(
        job=_with(job, origin.frozen, model),
        origin=origin,
        findings=tuple(findings),
        lineage={"encoder": origin.facts()},
    )


def model_of_origin(origin: Origin) -> Model:
    if origin.kind is Kind.CHECKPOINT:
        assert origin.run is not None
        job = origin.run.job()
        assert isinstance(job, PretrainJob)
        return job.model
    with nearby(origin.uri, has_weights=False) as folder:
        return read_directory(folder).model


def _asked(job: Job) -> str | None:
    text: str | None = getattr(job, "encoder", None)
    if not isinstance(job, ExportJob) or text is None or job.checkpoint == "last":
        return text
    return text if has_choice(text) else f"{text}@{job.checkpoint}"


def _with(job: J, encoder: str, model: Model) -> J:
    changes: dict[str, Any] = {"encoder": encoder}
    if hasattr(job, "model"):
        changes["model"] = model
    return replace(job, **changes)


def _far_findings(origin: Origin, resources: Resources) -> Iterator[Finding]:
    storage = open_storage(origin.uri)
    if origin.run is not None or not isinstance(storage, LocalStorage):
        return  # where runs are, the storage's own finding says
    if not resources.is_this_machine and not storage.is_shared():
        yield Finding(
            key="encoder",
            found=f"={origin.uri}",
            rule=f"is on a disk of this machine; the nodes of {resources.place} cannot see it.",
            try_="a folder that every node mounts, or an object store: s3://…",
        )


def _model_findings(text: str, overrides: Sequence[str]) -> Iterator[Finding]:
    """Only of what was typed: a primary config chooses a model for those who have none."""
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key == "model" or key.startswith("model."):
            yield Finding(
                key=key,
                found=f"={value}",
                rule=f"has no effect: encoder={text} brings its own model.",
                try_="leaving one of the two out.",
            )
