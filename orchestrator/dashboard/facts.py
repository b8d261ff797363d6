"""What is said of a run beside its numbers: settings, lineage, checkpoints, links, commands.

`pages.py` asks; all of it is read from the run's folder.
"""

from __future__ import annotations

from typing import Any

from orchestrator.dashboard import inside
from orchestrator.dashboard.index import Known
from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.state import State
from orchestrator.settings.kinds import differences
from orchestrator.settings.sweep import SweepJob

_ALWAYS = ("curves", "system", "checkpoints", "settings", "lineage", "events", "logs")


def parts(known: Known) -> list[str]:
    """Of its page, in order; a sweep trains in its trials, which have what it leaves out."""
    names = {entry.name for entry in known.folder.storage.list()}
    usual = list(_ALWAYS)
    if known.facts["job"] == SweepJob.kind:
        first = ["sweep"]
        left_out = ("system", "checkpoints", *(() if layout.METRICS in names else ("curves",)))
        usual = [part for part in usual if part not in left_out]
    else:
        first = [usual.pop(0)]
    has = {"samples": layout.SAMPLES, "result": layout.RESULT}
    return [*first, *(part for part, file in has.items() if file in names), *usual]


def changed(known: Known) -> dict[str, list[Any]]:
    """Dotted key → default, value; empty for a job that this version cannot read."""
    try:
        return {key: list(pair) for key, pair in differences(known.folder.job()).items()}
    except OrchestratorError:
        return {}


def lineage(known: Known) -> dict[str, Any]:
    """Without the diff, which is as long as the work of a day."""
    try:
        lineage = known.folder.lineage()
    except OrchestratorError:
        return {}
    git = lineage.get("git") or {}
    return {
        "user": lineage.get("user"),
        "host": (lineage.get("host") or {}).get("name"),
        "command": " ".join(map(str, lineage.get("command") or [])),
        "overrides": " ".join(map(str, lineage.get("overrides") or [])),
        "git": {key: git.get(key) for key in ("commit", "branch", "is_dirty")},
        "code": (lineage.get("code") or {}).get("fingerprint"),
        "plan": lineage.get("plan_fingerprint"),
        "parent": (lineage.get("parent") or {}).get("run"),
        "packages": lineage.get("packages") or {},
    }


def checkpoints(known: Known) -> list[dict[str, Any]]:
    return [
        {
            "step": one.step,
            "state": one.state.value,
            "size_bytes": one.size_bytes,
            "time": one.time,
            "attempt": one.commit.attempt if one.commit else None,
            "world": one.commit.world if one.commit else None,
            "loss": one.commit.validation_loss if one.commit else None,
        }
        for one in Checkpoints(known.folder.storage).all()
    ]


def links(known: Known) -> dict[str, str]:
    """Of other dashboards. An event that names a page of W&B's is the only one that knows it."""
    urls = [
        str(event.fields["url"])
        for event in known.events
        if event.kind.startswith("wandb") and str(event.fields.get("url")).startswith("http")
    ]
    return {
        **({"W&B": urls[-1]} if urls else {}),
        **({"Ray": known.status.address} if known.status.address else {}),
    }


def commands(known: Known) -> list[str]:
    run = known.name
    if inside.parent_name(known) is not None:
        return []
    if not known.status.state.is_over:
        return [f"orchestrator logs -f {run}", f"orchestrator stop {run}"]
    if known.facts["job"] == SweepJob.kind and known.status.state is State.FINISHED:
        return [f"orchestrator sweep best {run}", f"orchestrator sweep extend {run} --trials 20"]
    if known.status.state is State.FINISHED:
        return [f"orchestrator metrics {run}", f"orchestrator fork {run}"]
    return [f"orchestrator resume {run}", f"orchestrator logs {run}"]
