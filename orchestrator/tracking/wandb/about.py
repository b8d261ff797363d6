"""What W&B is told of a run beside its figures: id, group, config, tags, links. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orchestrator.runs.folder import RunFolder
from orchestrator.runs.state import State, Status
from orchestrator.settings.build import to_plain
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.job import Job
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.settings.sweep import SweepJob
from orchestrator.settings.tracking import Tracking
from orchestrator.tracking.wandb.part import Part

_LONG = ("diff", "changed")  # they are in lineage.json
_EXIT_CODES = {State.FINISHED: 0, State.STOPPED: 255}  # 255 is W&B's for `killed`
_MAX_TAG = 64


@dataclass(frozen=True, kw_only=True)
class About:
    id: str  # the same for every attempt, on every machine
    name: str
    project: str
    entity: str | None
    group: str | None
    job_type: str
    config: dict[str, Any]
    tags: tuple[str, ...]
    notes: str
    uri: str
    started: float  # seconds since the epoch
    has_parts: bool = False  # it is their group, whether it measures something itself or not
    is_part: bool = False

    @property
    def is_one_of_many(self) -> bool:
        """In one process: W&B is to keep their runs apart."""
        return self.has_parts or self.is_part

    @property
    def links(self) -> dict[str, str]:
        """Names of other runs by what they are to this one."""
        links: dict[str, str] = self.config["links"]
        return links


def describe(run: RunFolder, tracking: Tracking) -> About:
    job, lineage, status = run.job(), run.lineage(), run.status()
    parent = dict(lineage.get("parent") or {})
    parent_id = parent.get("run")
    is_step = "step" in parent  # of a pipeline; a fork is no part of its parent
    has_parts = _has_parts(job)
    is_group = has_parts or isinstance(job, PipelineJob)
    links = {"parent": parent_id} if parent_id else {}
    tags = dict.fromkeys(tag[:_MAX_TAG] for tag in (*job.tags, *status.tags))
    return About(
        id=run.id,
        name=run.id,
        project=tracking.project,
        entity=tracking.entity,
        group=tracking.group or (parent_id if is_step else run.id if is_group else None),
        job_type=job.kind,
        config=_config(job, lineage, links, run.uri),
        tags=tuple(tags),
        notes=job.note,
        uri=run.uri,
        started=status.created,
        has_parts=has_parts,
    )


def describe_part(part: Part, tracking: Tracking, status: Status) -> About:
    """As its run, of which it is a part, but for what it is itself."""
    job, lineage = part.folder.job(), part.run.lineage()
    own = {name: value for name, value in lineage.items() if name not in ("parent", "overrides")}
    tags = dict.fromkeys(tag[:_MAX_TAG] for tag in part.run.job().tags)
    return About(
        id=part.id,
        name=f"{part.run.id}/{part.name}",
        project=tracking.project,
        entity=tracking.entity,
        group=tracking.group or part.run.id,
        job_type="trial",
        config=_config(job, own, {"parent": part.run.id}, part.folder.uri),
        tags=tuple(tags),
        notes="",
        uri=part.folder.uri,
        started=status.created,
        is_part=True,
    )


def exit_code(status: Status) -> int:
    """What makes W&B show the run as finished, killed or failed."""
    return _EXIT_CODES.get(status.state, 1)


def _has_parts(job: Job) -> bool:
    is_several = isinstance(job, FinetuneJob) and job.num_seeds > 1
    return isinstance(job, SweepJob) or is_several


def _config(job: Job, lineage: dict[str, Any], links: dict[str, str], uri: str) -> dict[str, Any]:
    encoder = (lineage.get("encoder") or {}).get("run")
    return {
        **to_plain(job),
        "kind": job.kind,
        "lineage": _short(lineage) | {"uri": uri},
        "links": links | ({"encoder": encoder} if encoder else {}),
    }


def _short(lineage: dict[str, Any]) -> dict[str, Any]:
    git = lineage.get("git")
    if not isinstance(git, dict):
        return lineage
    return lineage | {"git": {key: value for key, value in git.items() if key not in _LONG}}
