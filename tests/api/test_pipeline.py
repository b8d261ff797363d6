"""A pipeline's course with real drivers and attempts; the steps are scripts without Ray."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.api import Orchestrator, Run
from orchestrator.api.made import next_commands, picture
from orchestrator.api.pipeline import Course
from orchestrator.api.steps import steps_of
from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import RunFailed, RunStopped
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.state import State
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.tracking.progress import ProgressWriter

pytestmark = pytest.mark.processes

# Does what the name of its run says; FOLDER is where marks are left and looked for.
SCRIPT = """
    import sys, time
    from pathlib import Path
    from orchestrator.cluster.outcome import Cause, Outcome
    from orchestrator.errors import RequestError
    from orchestrator.runs.find import open_run
    from orchestrator.runs.ledger import Ledger
    run = open_run(sys.argv[sys.argv.index("--run") + 1])
    attempt = int(sys.argv[sys.argv.index("--attempt") + 1])
    marks, own = Path({marks!r}), run.job().name
    (marks / own).touch()
    outcome = Outcome.finished()
    if own == "needs-mark" and not (marks / "mark").exists():
        outcome = Outcome.of_error(RequestError("there is no mark"))
    awaited = {{"meets-b": "meets-a", "meets-a": "meets-b", "waits": "never"}}.get(own, own)
    while not (marks / awaited).exists():
        time.sleep(0.05)
    Ledger(run.storage, attempt=attempt, writer="attempt").record(
        "attempt_ended", **outcome.to_plain()
    )
"""


class Pipelines:
    def __init__(self, folder: Path) -> None:
        self.marks, self._project = folder / "marks", folder / "project"
        self.marks.mkdir()
        (self._project / "conf" / "pipeline").mkdir(parents=True)
        (self._project / "jobs").mkdir()
        script = textwrap.dedent(SCRIPT.format(marks=str(self.marks)))
        (self._project / "jobs" / "probe.py").write_text(script)
        self._orchestrator = Orchestrator(str(folder / "runs"), working_dir=self._project)

    def make(self, steps: dict[str, list[str]], **settings: Any) -> Run:
        """Steps by name, each with those that it waits for."""
        plain = {
            name: {"job": "probe", "after": after, "overrides": [f"name={name}"]}
            for name, after in steps.items()
        }
        file = self._project / "conf" / "pipeline" / "mine.yaml"
        file.write_text(yaml.safe_dump({"steps": plain, **settings}))
        plan = self._orchestrator.plan("pipeline", ["pipeline=mine"], place=Place.HERE)
        assert not plan.findings, plan.findings
        return self._orchestrator.create(plan)

    def course(self, run: Run, stop: StopSignal | None = None, number: int = 1) -> Course:
        job = run.job()
        assert isinstance(job, PipelineJob)
        attempt = Attempt(
            run=run.folder,
            job=job,
            number=number,
            place=Place.HERE,
            ledger=Ledger(run.folder.storage, attempt=number, writer="attempt"),
            progress=ProgressWriter(run.folder.storage),
            stop=stop or StopSignal(),
        )
        return Course(attempt=attempt, job=job)

    def steps(self, run: Run) -> dict[str, Run]:
        job = run.job()
        assert isinstance(job, PipelineJob)
        return {name: Run(folder) for name, folder in steps_of(run.folder, job).items()}


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    made = Pipelines(tmp_path)
    monkeypatch.chdir(tmp_path / "project")  # as an attempt is in the submitted code
    return made


def test_a_failure_stops_what_depends_on_it_and_resume_does_the_rest(
    pipelines: Pipelines, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = {"use": ["needs-mark"], "needs-mark": ["first"], "first": [], "other": []}
    run = pipelines.make(graph)
    course = pipelines.course(run)
    course.to_its_end()
    assert course.ends == {
        **{"first": "finished", "needs-mark": "failed", "other": "finished", "use": "skipped"},
    }
    with pytest.raises(RunFailed) as caught:
        course.tell_end()
    steps = pipelines.steps(run)
    assert "step needs-mark failed: there is no mark" in caught.value.message
    assert "Not started: use." in caught.value.message
    assert caught.value.hint == f"orchestrator logs {steps['needs-mark'].id}"
    assert not steps["use"].folder.exists()
    assert steps["first"].folder.lineage()["parent"]["run"] == run.id
    assert steps["first"].folder.status().part_of == run.id

    (pipelines.marks / "mark").touch()
    again = pipelines.course(run, number=2)
    again.to_its_end()
    again.tell_end()
    attempts = {name: step.folder.status().attempt for name, step in steps.items()}
    assert attempts == {"use": 1, "needs-mark": 2, "first": 1, "other": 1}
    job = run.job()
    assert isinstance(job, PipelineJob)
    table = picture(run.folder, job)
    assert all(f"{name} " in table and steps[name].id in table for name in graph)
    assert next_commands(run.folder, job) == ["orchestrator dashboard"]
    assert "it had finished before" in capfd.readouterr().out


def test_steps_that_wait_for_none_of_each_other_run_at_once(pipelines: Pipelines) -> None:
    """Each of the two ends only once the other has begun."""
    course = pipelines.course(pipelines.make({"meets-a": [], "meets-b": []}, at_once=2))
    course.to_its_end()
    course.tell_end()


def test_a_stop_reaches_the_steps_that_run_and_starts_no_other(pipelines: Pipelines) -> None:
    run = pipelines.make({"waits": [], "later": ["waits"]})
    stop = StopSignal()

    def ask_when(is_there: Callable[[], bool]) -> None:
        while not is_there():
            time.sleep(0.05)
        stop.ask("the test")

    asking = threading.Thread(target=ask_when, args=((pipelines.marks / "waits").exists,))
    asking.start()
    course = pipelines.course(run, stop)
    course.to_its_end()
    asking.join()
    steps = pipelines.steps(run)
    assert steps["waits"].status().state is State.STOPPED
    assert not steps["later"].folder.exists()
    with pytest.raises(RunStopped):
        course.tell_end()
