"""The `pipeline` job's body: steps are started as what they wait for finishes, and told about.

A step that fails stops only what depends on it. Who resumes goes on with the steps that have not
finished. It lies here, since each step is planned and driven as any run is.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from orchestrator.api.made import aligned, picture, took_of
from orchestrator.api.scores import COLUMNS, Scores, scores_of
from orchestrator.api.steps import StepRun, steps_of
from orchestrator.cluster.attempt import Attempt, ray_address
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import OrchestratorError, RunFailed, RunStopped
from orchestrator.runs.insist import insist
from orchestrator.runs.result import write_result
from orchestrator.runs.state import State, Status
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.settings.units import format_duration
from orchestrator.tracking.exhibits import write_table
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.tracking.progress import read_progress

DONE = str(State.FINISHED)
_LOOK_EVERY_S = 0.3


def pipeline(attempt: Attempt) -> None:
    job = attempt.job
    assert isinstance(job, PipelineJob)
    attempt.ledger.record("running", workers=1)
    ray = ray_address() if attempt.place is Place.HERE else None
    course = Course(attempt=attempt, job=job, ray=ray)
    course.to_its_end()
    print("\n" + picture(attempt.run, job, course.ends), flush=True)
    scores = scores_of(attempt.run, job, course.ends)
    if scores is not None:
        _write(attempt, scores)
    course.tell_end()


def _write(attempt: Attempt, scores: Scores) -> None:
    """As far as there are some; an attempt that comes after writes them anew."""
    run = attempt.run.storage
    lines = list(scores.rows())
    print("\n" + aligned([COLUMNS, *lines]), flush=True)
    metrics = MetricsWriter(run, attempt=attempt.number, writer="driver")
    metrics.write(0, scores.metrics())
    metrics.close()
    write_table(run, "scores", 0, COLUMNS, lines)
    attempt.ledger.record("scored", **scores.plain())
    write_result(run, scores.plain())


@dataclass(kw_only=True)
class Course:
    """Where the graph stands."""

    attempt: Attempt
    job: PipelineJob
    ray: str | None = None  # the address of the one that steps share; on a cluster each is a job
    ends: dict[str, str] = field(default_factory=dict)  # step → finished, failed, stopped, skipped
    reasons: dict[str, str] = field(default_factory=dict)
    running: dict[str, tuple[StepRun, Future[Status]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graph = self.job.graph()
        self.folders = steps_of(self.attempt.run, self.job)

    def to_its_end(self) -> None:
        stop = self.attempt.stop
        with ThreadPoolExecutor(self.job.pipeline.at_once) as pool:
            try:
                while True:
                    self._collect()
                    if not stop.is_asked:
                        self._start_due(pool)
                    if not self.running:
                        return
                    self._pass_on(stop)
                    self._show()
                    time.sleep(_LOOK_EVERY_S)
            except BaseException:  # the steps end at a safe point, whatever it is
                stop.ask("the pipeline ended")
                self._pass_on(stop)
                raise

    def tell_end(self) -> None:
        """By an error, unless all have finished."""
        left = [name for name in self.graph if self.ends.get(name) != DONE]
        failed = [name for name in left if self.ends.get(name) == "failed"]
        if not left:
            return
        if not failed or self.attempt.stop.is_asked:
            stopped = next((name for name in left if self.ends.get(name) == "stopped"), left[0])
            raise RunStopped(f"step {stopped}: {self.reasons.get(stopped) or 'stopped'}")
        name = failed[0]
        run = self.folders[name]
        others = f" So did {', '.join(failed[1:])}." if failed[1:] else ""
        skipped = [name for name in left if self.ends.get(name) == "skipped"]
        waiting = f" Not started: {', '.join(skipped)}." if skipped else ""
        raise RunFailed(
            f"step {name} failed: {self.reasons[name]}{others}{waiting}\n"
            f"`orchestrator resume {self.attempt.run.id}` goes on with what has not finished.",
            hint=f"orchestrator logs {run.id}" if run.exists() else None,
        )

    def _start_due(self, pool: ThreadPoolExecutor) -> None:
        for name in TopologicalSorter(self.graph).static_order():
            if name in self.ends or name in self.running:
                continue
            ends = {other: self.ends.get(other) for other in self.graph[name]}
            lost = next((other for other, end in ends.items() if end not in (None, DONE)), None)
            if lost is not None:
                self._end(name, "skipped", f"{lost} {ends[lost]}")
            elif all(ends.values()) and len(self.running) < self.job.pipeline.at_once:
                self._start(name, pool)

    def _start(self, name: str, pool: ThreadPoolExecutor) -> None:
        folder = self.folders[name]
        if folder.exists() and insist(folder.status).state is State.FINISHED:
            self._end(name, DONE, "it had finished before")
            return
        print(f"\n{self._place(name)}: run {folder.id}", flush=True)
        self.attempt.ledger.record("step_started", step=name, run=folder.id)
        step = StepRun(attempt=self.attempt, name=name, folders=self.folders, ray=self.ray)
        self.running[name] = (step, pool.submit(step.carry))

    def _collect(self) -> None:
        for name in [name for name, (_, future) in self.running.items() if future.done()]:
            _, future = self.running.pop(name)
            try:
                status = future.result()
            except OrchestratorError as err:
                self._end(name, "failed", str(err))
            else:
                state = str(status.state) if status.state.is_over else "stopped"
                self._end(name, state, status.reason)

    def _end(self, name: str, state: str, reason: str) -> None:
        self.ends[name], self.reasons[name] = state, reason
        run = self.folders[name]
        kind = "step_skipped" if state == "skipped" else "step_ended"
        self.attempt.ledger.record(kind, step=name, run=run.id, state=state, reason=reason)
        time_s = took_of(run) if state == DONE else None
        said = f" in {format_duration(time_s)}" if time_s is not None else ""
        why = f": {reason}" if reason else ""
        print(f"{self._place(name)} {state}{said}{why}", flush=True)

    def _pass_on(self, stop: StopSignal) -> None:
        if stop.is_asked:
            for step, _ in self.running.values():
                step.stop.ask(stop.reason)

    def _show(self) -> None:
        """One that runs alone shows its own progress; several are named."""
        if len(self.running) == 1:
            (name,) = self.running
            now = read_progress(self.folders[name].storage)
            if now is not None:
                stage = f"{self._place(name)}, {now.stage}"
                self.attempt.progress.show(stage, now.done, now.total, now.unit)
                return
        done = sum(state == DONE for state in self.ends.values())
        named = ", ".join(self.running)
        self.attempt.progress.show(f"running {named}", done, len(self.graph), "steps finished")

    def _place(self, name: str) -> str:
        return f"step {list(self.graph).index(name) + 1} of {len(self.graph)}, {name}"
