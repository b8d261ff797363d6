"""What W&B is told of a run beside its figures: id, group, config, tags, links. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from orchestrator.runs.folder import RunFolder
from orchestrator.runs.state import State, Status
from orchestrator.settings.build import to_plain
from orchestrator.settings.tracking import Tracking

_TRIAL = re.compile(r".*/([^/]+)/trials")
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


def describe(run: RunFolder, tracking: Tracking) -> About:
    job, lineage, status = run.job(), run.lineage(), run.status()
    trial = _TRIAL.fullmatch(run.parent.uri.partition("?")[0])
    parent = dict(lineage.get("parent") or {})
    parent_id = trial[1] if trial else parent.get("run")
    is_part = bool(trial) or parent.get("relation") in ("pipeline", "sweep")
    links = {"parent": parent_id} if parent_id else {}
    tags = dict.fromkeys(tag[:_MAX_TAG] for tag in (*job.tags, *status.tags))
    return About(
        id=f"{trial[1]}-{run.id}" if trial else run.id,
        name=f"{trial[1]}/{run.id}" if trial else run.id,
        project=tracking.project,
        entity=tracking.entity,
        group=tracking.group or (parent_id if is_part else None),
        job_type="trial" if trial else job.kind,
        config={
            **to_plain(job),
            "kind": job.kind,
            "lineage": _short(lineage) | {"uri": run.uri},
            "links": links,
        },
        tags=tuple(tags),
        notes=job.note,
        uri=run.uri,
        started=status.created,
    )


def exit_code(status: Status) -> int:
    """What makes W&B show the run as finished, killed or failed."""
    return _EXIT_CODES.get(status.state, 1)


def _short(lineage: dict[str, Any]) -> dict[str, Any]:
    git = lineage.get("git")
    if not isinstance(git, dict):
        return lineage
    return lineage | {"git": {key: value for key, value in git.items() if key not in _LONG}}
