"""An Orchestrator: a storage and a working directory, from which runs are planned and started."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.api.run import Run, Say
from orchestrator.cluster.follow import http_for
from orchestrator.cluster.http import NotAccepted, RayHttp
from orchestrator.cluster.local import find_local
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import (
    ClusterError,
    NotFoundError,
    SettingsError,
)
from orchestrator.planning.make import FindCluster, Request, make_plan
from orchestrator.runs.archive import Archive, Candidate, PrunePolicy, prunable
from orchestrator.runs.folder import create_run
from orchestrator.runs.ids import new_id
from orchestrator.runs.plan import Forked, Plan
from orchestrator.runs.state import Status
from orchestrator.runs.storage import open_storage
from orchestrator.settings.job import Job


def default_storage() -> str:
    return os.environ.get("ORCHESTRATOR_STORAGE") or str(Path.cwd() / "runs")


class Orchestrator:
    def __init__(
        self,
        storage: str | None = None,
        *,
        address: str | None = None,
        working_dir: Path | None = None,
    ) -> None:
        self.storage = open_storage(storage or default_storage())
        self.archive = Archive(self.storage)
        self.working_dir = (working_dir or Path.cwd()).resolve()
        self._address = address

    def plan(self, kind: str, overrides: Sequence[str] = (), *, place: Place | None = None) -> Plan:
        """Findings are in the plan. Without a place: the cluster if there is one, else here."""
        request = Request(
            kind=kind,
            overrides=tuple(overrides),
            storage=self.storage.uri,
            working_dir=self.working_dir,
            find_cluster=self._finder(place),
        )
        return make_plan(request)

    def run(self, plan: Plan, *, say: Say = print, stop: StopSignal | None = None) -> Run:
        """Here, in the foreground, with a Ray of its own. Returns when the run is over."""
        run = self.create(plan)
        run.drive_here(1, say=say, stop=stop)
        return run

    def submit(self, plan: Plan) -> Run:
        """To the cluster, detached. Returns when the cluster has accepted it."""
        self._refuse(plan)
        assert plan.job is not None
        http = self._cluster(plan.job, required=True)
        assert http is not None
        run = self.create(plan)
        try:
            run.submit_to(http, 1)
        except NotAccepted:
            self.archive.delete(run.folder)
            raise
        return run

    def fork(
        self,
        parent: Run,
        overrides: Sequence[str],
        *,
        checkpoint: int | None = None,
        place: Place | None = None,
    ) -> Plan:
        """The plan of a new run: the parent's job with overrides on top, from one of its steps.

        `checkpoint` 0 is the beginning; None is the newest, or the beginning where there is none.
        """
        steps = parent.folder.checkpoint_steps()
        if checkpoint and checkpoint not in steps:
            known = f"it has {', '.join(map(str, steps))}" if steps else "it has none"
            raise NotFoundError(f"{parent.id} has no checkpoint of step {checkpoint}; {known}.")
        job = parent.job()
        step = checkpoint if checkpoint is not None else max(steps, default=None)
        request = Request(
            kind=job.kind,
            overrides=tuple(overrides),
            storage=self.storage.uri,
            working_dir=self.working_dir,
            forked=Forked(run=parent.id, uri=parent.folder.uri, job=job, step=step or None),
            find_cluster=self._finder(place),
        )
        return make_plan(request)

    def find(self, part: str) -> Run:
        return Run(self.archive.find(part))

    def runs(self) -> list[tuple[Run, Status]]:
        """Oldest first."""
        return [(Run(folder), status) for folder, status in self.archive.statuses()]

    def prunable(self, policy: PrunePolicy) -> list[str]:
        candidates = [
            Candidate(
                id=run.id,
                state=status.state,
                ended=status.ended,
                tags=status.tags,
                parent=(run.folder.lineage().get("parent") or {}).get("run"),
            )
            for run, status in self.runs()
        ]
        return prunable(candidates, policy, now=time.time())

    def _finder(self, place: Place | None) -> FindCluster:
        if place is Place.HERE:
            return lambda _: None
        return lambda job: self._cluster(job, required=place is Place.CLUSTER)

    def create(self, plan: Plan) -> Run:
        """The run's folder, whole; nothing is started."""
        self._refuse(plan)
        assert plan.job is not None
        return Run(create_run(self.storage, new_id(plan.job.name or plan.kind), plan))

    def _refuse(self, plan: Plan) -> None:
        if plan.findings:
            raise SettingsError([str(finding) for finding in plan.findings])

    def _cluster(self, job: Job, *, required: bool) -> RayHttp | None:
        address = self._address or job.cluster.address
        if address:
            return http_for(address)
        local = find_local()
        if local is None and required:
            raise ClusterError(
                "There is no cluster to submit to: cluster.address is not set, no local one is up.",
                hint="Start one with `orchestrator cluster up`, set "
                "cluster.address=http://head:8265, or use `orchestrator run` to run here.",
            )
        return local.http() if local else None
