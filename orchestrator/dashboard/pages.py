"""The answer to each request of the page, as plain values; `server.py` says who may ask.

Everything comes from the runs' folders, so it is there when the cluster is not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api import Orchestrator
from orchestrator.dashboard import clusters, compare, facts, goodput, inside, logs, sweep
from orchestrator.dashboard.charts import AXES, Wish, curve
from orchestrator.dashboard.clusters import Clusters
from orchestrator.dashboard.index import Index, Known
from orchestrator.dashboard.inside import Inside
from orchestrator.dashboard.marks import marks
from orchestrator.dashboard.sweep import Sweeps
from orchestrator.dashboard.tables import Tables
from orchestrator.errors import RequestError
from orchestrator.runs.result import read_result
from orchestrator.runs.samples import read_samples
from orchestrator.settings.build import flatten
from orchestrator.settings.sweep import SweepJob

_MOST_COMPARED = 8


class Pages:
    def __init__(self, orchestrator: Orchestrator, *, address: str | None = None) -> None:
        self.orchestrator = orchestrator
        self.index = Index(orchestrator.archive)
        self.tables = Tables()
        self._get = Inside(self.index).get
        self.sweeps = Sweeps()
        self.clusters = Clusters(address)

    def close(self) -> None:
        self.index.close()
        self.sweeps.close()
        self.tables.close()

    def runs(self) -> dict[str, Any]:
        rows = self.index.rows()
        if any(row["job"] == SweepJob.kind for row in rows):
            self.sweeps.warm()
        return {"storage": self.orchestrator.storage.uri, "runs": rows}

    def run(self, run_id: str) -> dict[str, Any]:
        known = self._get(run_id)
        status = known.status
        some = self.tables.glance(known.folder)
        counted = self.tables.columns(known.folder, ()) if some is None else some
        return {
            "run": known.row(),
            "uri": known.folder.uri,
            "parts": facts.parts(known),
            "trial": self._trial(known),
            "metrics": self.tables.names(known.folder) if some is None else sorted(some.values),
            "status": {
                "reason": status.reason,
                "blame": status.blame,
                "hint": status.hint.replace("RUN", run_id),
                "notes": list(status.notes),
                "driver": status.driver,
                "place": status.place,
                "address": status.address,
            },
            "goodput": self._goodput(known) if some is None else None,
            "marks": marks(known.events, counted),
            "commands": facts.commands(known),
        }

    def facts(self, run_id: str) -> dict[str, Any]:
        """Of a run, what seldom changes: settings, lineage, checkpoints, links."""
        known = self._get(run_id)
        return {
            "settings": flatten(dict(known.facts["settings"])),
            "changed": facts.changed(known),
            "lineage": facts.lineage(known),
            "children": [
                *(row["id"] for row in self.index.rows() if row["parent"] == run_id),
                *([] if known.facts["job"] == "sweep" else inside.names_inside(known)),
            ],
            "checkpoints": facts.checkpoints(known),
            "links": facts.links(known),
        }

    def _goodput(self, known: Known) -> dict[str, float]:
        lines = self.tables.columns(known.folder, goodput.NAMES, repeated=True)
        return goodput.breakdown(known.events, lines, now=_last_moment(known))

    def curves(self, run_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
        known = self._get(run_id)
        wish = _wish(asked)
        names = (wish.metric,)
        some = self.tables.glance(known.folder, names)
        columns = self.tables.columns(known.folder, names) if some is None else some
        told = curve(columns, wish) | ({"mark": "", "some": True} if some is not None else {})
        return {"run": run_id, "metric": wish.metric, **told}

    def logs(self, run_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
        attempt = asked.get("attempt") or ""
        return logs.tail(
            self._get(run_id).folder.storage,
            words=asked.get("words", "")[:200],
            attempt=int(attempt) if attempt.isdecimal() else None,
        )

    def events(self, run_id: str) -> dict[str, Any]:
        return {"events": [event.to_plain() for event in self._get(run_id).events]}

    def sweep(self, run_id: str) -> dict[str, Any]:
        known = self._get(run_id)
        return sweep.told(known, self.sweeps.board(known))

    def importance(self, run_id: str) -> dict[str, Any]:
        return self.sweeps.importance(self._get(run_id))

    def result(self, run_id: str) -> dict[str, Any]:
        known = self._get(run_id)
        return {"result": read_result(known.folder.storage)}

    def samples(self, run_id: str) -> dict[str, Any]:
        return read_samples(self._get(run_id).folder.storage)

    def compare(self, ids: Sequence[str]) -> dict[str, Any]:
        if not 2 <= len(ids) <= _MOST_COMPARED:
            raise RequestError(
                f"{len(ids)} runs were named; two to {_MOST_COMPARED} can be compared."
            )
        known = [self._get(run_id) for run_id in ids]
        return {
            "runs": [one.row() for one in known],
            "settings": compare.differing([one.facts["settings"] for one in known]),
            "lineage": compare.differing([facts.lineage(one) for one in known]),
            "steps": [{"run": other.name, **self._differ(known[0], other)} for other in known[1:]],
        }

    def cluster(self) -> dict[str, Any]:
        """What is known of clusters by now: nobody waits for them here."""
        live = [row for row in self.index.rows() if not row["is_over"]]
        known = [self.index.get(row["id"]) for row in live]
        used = {one.status.address for one in known if one.status.address}
        return {
            "clusters": self.clusters.known(used),
            "runs": [
                {
                    **one.row(),
                    "address": one.status.address,
                    "links": facts.links(one),
                    **clusters.asked_by(one.facts["settings"], one.facts["job"]),
                }
                for one in known
            ],
        }

    def stop(self, run_id: str) -> dict[str, Any]:
        known = self.index.get(run_id)
        status = self.orchestrator.find(known.name).stop(by="the dashboard", wait=False)
        self.index.forget_time()
        return {"run": run_id, "state": status.state.value}

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

    def _trial(self, known: Known) -> dict[str, Any] | None:
        """Of a run that is inside of another: where it belongs, and how it did there."""
        parent = inside.parent_name(known)
        if parent is None:
            return None
        about = {"of": parent, "job": self._get(parent).facts["job"]}
        if about["job"] != SweepJob.kind:
            return about
        board = self.sweeps.board(self._get(parent))
        return about | sweep.told_trial(board, int(known.folder.id))

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
