"""One step of a pipeline as a run of its own: made when it is due, driven to its end, followed.

Its id follows from the pipeline's, so whoever resumes the pipeline finds it again. Called by
`pipeline.py`; `orchestrator status` asks which runs the steps are.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.api.run import Run
from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.follow import http_for
from orchestrator.cluster.http import RayHttp
from orchestrator.cluster.output import for_people
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import RequestError
from orchestrator.planning.make import Request, make_plan
from orchestrator.runs import ids, layout
from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.insist import insist
from orchestrator.runs.plan import Plan
from orchestrator.runs.state import State, Status
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pipeline import REFERENCE, REFERRING, PipelineJob

_POLL_S = 0.5
_KEPT = ("git", "working_dir", "command")  # of the pipeline's lineage; here they would say less
_PLANNING = threading.Lock()  # it imports modules and reads folders; steps may begin together


def steps_of(pipeline: RunFolder, job: PipelineJob) -> dict[str, RunFolder]:
    """Step → the folder of its run, which need not be there yet."""
    return {
        name: RunFolder(pipeline.parent, ids.child_id(pipeline.id, name, number))
        for number, name in enumerate(job.members, start=1)
    }


def parent_of(pipeline: RunFolder, step: str) -> dict[str, Any]:
    """As the step's lineage has it."""
    return {"run": pipeline.id, "uri": pipeline.uri, "step": step}


@dataclass(frozen=True, kw_only=True)
class StepRun:
    attempt: Attempt  # of the pipeline
    name: str
    folders: dict[str, RunFolder]  # of all steps
    ray: str | None = None  # the address of one to share
    stop: StopSignal = field(default_factory=StopSignal)

    @property
    def run(self) -> Run:
        return Run(self.folders[self.name])

    def carry(self) -> Status:
        """To its end, from wherever it is. Another's driver, while it lives, is waited for."""
        run = self._made()
        status = insist(run.status)
        is_driven = bool(status.attempt) and not status.state.is_over
        if is_driven:
            status = self._follow(run)
        is_told = status.state is State.FINISHED or (is_driven and not status.is_lost)
        if is_told or self.stop.is_asked:
            return status
        return self._drive(run, status.attempt + 1)

    def _drive(self, run: Run, attempt: int) -> Status:
        if self.attempt.place is Place.CLUSTER:
            run.submit_to(self._http(), attempt)
            print(f"{self.name}: submitted; orchestrator logs -f {run.id}", flush=True)
            return self._follow(run)
        run.drive_here(attempt, say=self._say, stop=self.stop, ray=self.ray)
        return insist(run.status)

    def _follow(self, run: Run) -> Status:
        is_told = False
        while not (status := insist(run.status)).state.is_over:
            if self.stop.is_asked and not is_told:
                is_told = True
                run.stop(by=f"pipeline {self.attempt.run.id}", wait=False)
            time.sleep(_POLL_S)
        return status

    def _made(self) -> Run:
        folder = self.folders[self.name]
        if folder.exists():
            return Run(folder)
        folder.storage.remove("")  # what was begun by a driver that was killed
        with _PLANNING:
            plan = self._plan()
            if plan.findings:
                raise RequestError("\n".join(map(str, plan.findings)))
            return Run(create_run(folder.parent, folder.id, plan))

    def _plan(self) -> Plan:
        """As it was composed with the pipeline, and checked once more now that all is there."""
        pipeline = self.attempt.run
        text = pipeline.storage.read(layout.child(self.name)).decode()
        job = self._resolved(thaw(text, source=f"{pipeline.uri}/{layout.child(self.name)}"))
        http = self._http() if self.attempt.place is Place.CLUSTER else None
        plan = make_plan(
            Request(
                kind=job.kind,
                overrides=(),
                storage=pipeline.parent.uri,
                working_dir=Path.cwd(),  # the pipeline's code, as it was submitted
                find_cluster=lambda _: http,
                start_from=job,
                parent=parent_of(pipeline, self.name),
            )
        )
        whole = pipeline.lineage()
        return replace(plan, lineage=plan.lineage | {name: whole.get(name) for name in _KEPT})

    def _resolved(self, job: Job) -> Job:
        """With runs in the places of steps."""
        changes: dict[str, Any] = {}
        for key in REFERRING:
            match = REFERENCE.fullmatch(getattr(job, key, None) or "")
            if match and match[1] in self.folders:
                choice = f"@{match[2]}" if match[2] else ""
                changes[key] = f"{self.folders[match[1]].id}{choice}"
        return replace(job, **changes)

    def _http(self) -> RayHttp:
        address = self.attempt.run.status().address
        assert address is not None, "a run on a cluster was submitted to its address"
        return http_for(address)

    def _say(self, line: str) -> None:
        """In the pipeline's own output, without what only the step's log needs."""
        for one in line.splitlines() or [""]:
            if (told := for_people(one)) is not None:
                print(f"{self.name} | {told}", flush=True)
