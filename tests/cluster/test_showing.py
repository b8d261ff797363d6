"""A driver shows its run in W&B: a real forwarder, a server on loopback, a job of a few lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator, Run
from orchestrator.cluster.place import Place
from orchestrator.runs.state import State
from orchestrator.tracking.wandb.report import Standing, read_report
from tests.tracking.wandb.making import Loopback, node_of

pytestmark = pytest.mark.processes

# Its first attempt measures five steps and is killed, the next goes on from the third. A forwarder
# takes seconds to start where others use the machine, and a driver waits for it a bounded time.
MEASURES = """
    import os, signal, sys, time
    from orchestrator.cluster.outcome import Outcome
    from orchestrator.runs.find import open_run
    from orchestrator.runs.ledger import Ledger
    from orchestrator.tracking.metrics import MetricsWriter
    run = open_run(sys.argv[sys.argv.index("--run") + 1])
    attempt = int(sys.argv[sys.argv.index("--attempt") + 1])
    metrics = MetricsWriter(run.storage, attempt=attempt, writer="rank-000")
    for step in range(1, 6) if attempt == 1 else range(4, 9):
        metrics.write(step, {"train/loss": 1.0 / step})
    metrics.close()
    until = time.monotonic() + 60
    while not run.storage.exists("wandb/report.json") and time.monotonic() < until:
        time.sleep(0.05)
    if attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ledger = Ledger(run.storage, attempt=attempt, writer="attempt")
    ledger.record("attempt_ended", **Outcome.finished().to_plain())
"""


@pytest.fixture
def make(
    tmp_path: Path, wandb_server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Run]:
    """A fresh run whose jobs/probe.py is the given script, on a node that has a key."""
    for name, value in node_of(wandb_server, tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "state"))
    project = tmp_path / "project"
    (project / "jobs").mkdir(parents=True)
    orchestrator = Orchestrator(str(tmp_path / "runs"), working_dir=project)

    def create(script: str) -> Run:
        (project / "jobs" / "probe.py").write_text(textwrap.dedent(script))
        words = ["tracking=online", "tracking.project=encoders", "recovery.backoff=0"]
        plan = orchestrator.plan("probe", words, place=Place.HERE)
        assert not plan.findings, plan.findings
        return orchestrator.create(plan)

    return create


def test_a_run_is_followed_over_its_attempts_and_complete_when_the_driver_returns(
    make: Callable[[str], Run], wandb_server: Loopback
) -> None:
    run = make(MEASURES)
    heard: list[str] = []
    run.drive_here(1, say=heard.append)
    rows = wandb_server.rows(run.id)
    assert [row["train/step"] for row in rows] == list(range(1, 9))
    assert [row["attempt"] for row in rows] == [1] * 5 + [2] * 3
    assert wandb_server.bucket(run.id)["exitcode"] == 0
    report = read_report(run.folder.storage)
    assert report is not None and report.standing is Standing.COMPLETE
    told = [line for line in heard if line.startswith("W&B: ")]
    assert told == [f"W&B: {report.url}"]
    links = [event.fields["url"] for event in run.events() if event.kind == "wandb_linked"]
    assert links == [report.url]


def test_what_wandb_refuses_is_a_line_and_an_event_and_no_failure(
    make: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(MEASURES)
    monkeypatch.delenv("WANDB_API_KEY")
    heard: list[str] = []
    run.drive_here(1, say=heard.append)
    assert run.status().state is State.FINISHED
    [told] = [line for line in heard if "there is no key of W&B" in line]
    assert f"orchestrator wandb sync {run.id}" in told
    [event] = [event for event in run.events() if event.kind == "wandb_behind"]
    assert "there is no key of W&B" in event.fields["reason"]
