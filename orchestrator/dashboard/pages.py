"""The answer to each request of the page, as plain values; `server.py` says who may ask.

Everything comes from the runs' folders, so it is there when the cluster is not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import Orchestrator
from orchestrator.cluster.follow import http_for
from orchestrator.cluster.local import find_local
from orchestrator.dashboard import compare, goodput, logs
from orchestrator.dashboard.charts import AXES, Wish, curve
from orchestrator.dashboard.index import Index, Known
from orchestrator.dashboard.marks import marks
from orchestrator.dashboard.tables import Tables
from orchestrator.errors import ClusterError, NotFoundError, OrchestratorError, RequestError
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.state import State
from orchestrator.settings.build import flatten
from orchestrator.settings.kinds import differences

_MOST_COMPARED = 8
_CLUSTER_EVERY_S = 5.0


class Pages:
    def __init__(self, orchestrator: Orchestrator) -> None:
        self.orchestrator = orchestrator
        self.index = Index(orchestrator.archive)
        self.tables = Tables()
        self._clusters: dict[str, tuple[float, dict[str, Any]]] = {}

    def runs(self) -> dict[str, Any]:
        return {"storage": self.orchestrator.storage.uri, "runs": self.index.rows()}

    def run(self, run_id: str) -> dict[str, Any]:
        known = self.index.get(run_id)
        lines = self.tables.columns(known.folder, goodput.NAMES, repeated=True)
        counted = self.tables.columns(known.folder, ())
        status = known.status
        return {
            "run": known.row(),
            "uri": known.folder.uri,
            "metrics": self.tables.names(known.folder),
            "status": {
                "reason": status.reason,
                "blame": status.blame,
                "hint": status.hint.replace("RUN", run_id),
                "notes": list(status.notes),
                "driver": status.driver,
                "place": status.place,
                "address": status.address,
            },
            "goodput": goodput.breakdown(known.events, lines, now=_last_moment(known)),
            "marks": marks(known.events, counted),
            "commands": _commands(known),
        }

    def facts(self, run_id: str) -> dict[str, Any]:
        """Of a run, what seldom changes: settings, lineage, checkpoints, links."""
        known = self.index.get(run_id)
        return {
            "settings": flatten(dict(known.facts["settings"])),
            "changed": _changed(known),
            "lineage": _lineage(known),
            "children": [row["id"] for row in self.index.rows() if row["parent"] == run_id],
            "checkpoints": _checkpoints(known),
            "links": _links(known),
        }

    def curves(self, run_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
        known = self.index.get(run_id)
        wish = _wish(asked)
        columns = self.tables.columns(known.folder, (wish.metric,))
        return {"run": run_id, "metric": wish.metric, **curve(columns, wish)}

    def logs(self, run_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
        attempt = asked.get("attempt") or ""
        return logs.tail(
            self.index.get(run_id).folder.storage,
            words=asked.get("words", "")[:200],
            attempt=int(attempt) if attempt.isdecimal() else None,
        )

    def events(self, run_id: str) -> dict[str, Any]:
        return {"events": [event.to_plain() for event in self.index.get(run_id).events]}

    def compare(self, ids: Sequence[str]) -> dict[str, Any]:
        if not 2 <= len(ids) <= _MOST_COMPARED:
            raise RequestError(
                f"{len(ids)} runs were named; two to {_MOST_COMPARED} can be compared."
            )
        known = [self.index.get(run_id) for run_id in ids]
        return {
            "runs": [one.row() for one in known],
            "settings": compare.differing([one.facts["settings"] for one in known]),
            "lineage": compare.differing([_lineage(one) for one in known]),
            "steps": [
                {"run": other.folder.id, **self._differ(known[0], other)} for other in known[1:]
            ],
        }

    def cluster(self) -> dict[str, Any]:
        live = [row for row in self.index.rows() if not row["is_over"]]
        known = [self.index.get(row["id"]) for row in live]
        local = find_local()
        used = {one.status.address for one in known if one.status.address}
        addresses = sorted(used | ({local.address} if local else set()))
        return {
            "clusters": [self._cluster(address) for address in addresses],
            "runs": [{**one.row(), "address": one.status.address, **_asks(one)} for one in known],
        }

    def stop(self, run_id: str) -> dict[str, Any]:
        known = self.index.get(run_id)
        status = self.orchestrator.find(run_id).stop(by="the dashboard", wait=False)
        self.index.forget_time()
        return {"run": known.folder.id, "state": status.state.value}

    def resume(self, run_id: str) -> dict[str, Any]:
        """On a cluster, which takes it detached; a run in the foreground needs a terminal."""
        known = self.index.get(run_id)
        if known.status.place != "cluster":
            raise RequestError(
                f"{run_id} ran in the foreground, which a page cannot do.",
                hint=f"orchestrator resume {run_id}",
            )
        status = self.orchestrator.find(run_id).resume(say=lambda _: None)
        self.index.forget_time()
        return {"run": run_id, "state": status.state.value}

    def _cluster(self, address: str) -> dict[str, Any]:
        """Asked every few seconds, however many pages are open."""
        asked, answer = self._clusters.get(address, (0.0, {}))
        if not answer or time.monotonic() - asked > _CLUSTER_EVERY_S:
            answer = _cluster(address)
            self._clusters[address] = (time.monotonic(), answer)
        return answer

    def _differ(self, one: Known, other: Known) -> dict[str, Any]:
        names = set(self.tables.names(one.folder)) & set(self.tables.names(other.folder))
        shared = sorted(name for name in names if not compare.is_of_the_machine(name))
        mine = self.tables.columns(one.folder, shared)
        others = self.tables.columns(other.folder, shared)
        found = [compare.first_difference(mine, others, name) for name in shared]
        told = sorted(filter(None, found), key=lambda row: (row["step"], row["metric"]))
        equal = [name for name, row in zip(shared, found, strict=True) if row is None]
        return {"differ": told, "equal": equal}


def _last_moment(known: Known) -> float:
    return known.status.ended or time.time()


def _wish(asked: Mapping[str, str]) -> Wish:
    axis = asked.get("axis") or "step"
    if axis not in AXES or not asked.get("metric"):
        raise RequestError(f"axis={axis} is not one of {', '.join(AXES)}, or there is no metric.")
    try:
        return Wish(
            metric=asked["metric"],
            axis=axis,
            smooth=min(0.999, max(0.0, float(asked.get("smooth") or 0))),
            low=float(asked["low"]) if asked.get("low") else None,
            high=float(asked["high"]) if asked.get("high") else None,
            points=min(20_000, max(16, int(asked.get("points") or 2000))),
            seen=asked.get("seen", ""),
        )
    except ValueError as err:
        raise RequestError(f"A curve is asked for with numbers: {err}.") from err


def _changed(known: Known) -> dict[str, list[Any]]:
    """Dotted key → default, value; empty for a job that this version cannot read."""
    try:
        return {key: list(pair) for key, pair in differences(known.folder.job()).items()}
    except OrchestratorError:
        return {}


def _lineage(known: Known) -> dict[str, Any]:
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


def _checkpoints(known: Known) -> list[dict[str, Any]]:
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


def _links(known: Known) -> dict[str, str]:
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


def _commands(known: Known) -> list[str]:
    run = known.folder.id
    if not known.status.state.is_over:
        return [f"orchestrator logs -f {run}", f"orchestrator stop {run}"]
    if known.status.state is State.FINISHED:
        return [f"orchestrator metrics {run}", f"orchestrator fork {run}"]
    return [f"orchestrator resume {run}", f"orchestrator logs {run}"]


def _asks(known: Known) -> dict[str, Any]:
    cluster = dict(known.facts["settings"].get("cluster") or {})
    workers = cluster.get("num_workers") or 1
    return {
        "workers": workers,
        "cpus": workers * (cluster.get("cpus_per_worker") or 0),
        "gpus": workers * (cluster.get("gpus_per_worker") or 0),
    }


def _cluster(address: str) -> dict[str, Any]:
    try:
        facts = http_for(address).facts()
    except (ClusterError, NotFoundError) as err:
        return {"address": address, "error": err.message}
    return {
        "address": address,
        "ray_version": facts.ray_version,
        "nodes": facts.nodes,
        "resources": facts.resources,
    }
