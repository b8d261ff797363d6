"""A driver and its attempt as real processes; the job's script is a few lines without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestrator.api import Orchestrator, Run
from orchestrator.cluster.place import Place
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import RequestError
from orchestrator.runs.state import State
from orchestrator.settings.secrets import MASK

Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A fresh run whose jobs/probe.py is the given script."""
    project = tmp_path / "project"
    (project / "jobs").mkdir(parents=True)
    orchestrator = Orchestrator(str(tmp_path / "runs"), working_dir=project)

    def create(script: str, *overrides: str) -> Run:
        (project / "jobs" / "probe.py").write_text(textwrap.dedent(script))
        plan = orchestrator.plan("probe", overrides, place=Place.HERE)
        assert not plan.findings, plan.findings
        return orchestrator.create(plan)

    return create


# An attempt that ends as the ledger's last word says.
TELLS = """
    import sys
    from orchestrator.cluster.outcome import Outcome
    from orchestrator.runs.find import open_run
    from orchestrator.runs.ledger import Ledger
    run = open_run(sys.argv[sys.argv.index("--run") + 1])
    Ledger(run.storage, attempt=1, writer="attempt").record("attempt_ended", **{outcome}.to_plain())
"""
WAITS_FOR_SIGTERM = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("waiting", flush=True)
    time.sleep(60)
"""
IGNORES_SIGTERM = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("waiting", flush=True)
    time.sleep(60)
"""


def test_output_reaches_the_log_and_the_listener_in_order(make: Make) -> None:
    run = make("for i in range(500): print('line', i)")
    heard: list[str] = []
    run.drive_here(1, say=heard.append)
    assert heard == [f"line {i}" for i in range(500)]
    assert list(run.logs()) == heard


def test_an_attempts_last_word_is_the_runs_end(make: Make) -> None:
    run = make(TELLS.replace("{outcome}", "Outcome.finished()"))
    run.drive_here(1, say=print)
    assert run.status().state is State.FINISHED


def test_a_process_that_dies_without_a_word_is_told_by_its_driver(make: Make) -> None:
    run = make("import os; os.kill(os.getpid(), 9)")
    run.drive_here(1, say=print)
    status = run.status()
    assert status.state is State.FAILED
    assert status.blame == "cluster"
    assert "SIGKILL" in status.reason
    assert status.hint == f"orchestrator resume {run.id}"


def test_code_that_raises_is_the_users_and_its_output_is_kept(make: Make) -> None:
    run = make("raise ValueError('no such thing')")
    run.drive_here(1, say=lambda _: None)
    assert run.status().blame == "user"
    assert any("no such thing" in line for line in run.logs())


def test_the_attempt_runs_the_submitted_code_not_the_working_directory(
    make: Make, tmp_path: Path
) -> None:
    run = make("print('as submitted')")
    (tmp_path / "project" / "jobs" / "probe.py").write_text("print('edited since')")
    run.drive_here(1, say=lambda _: None)
    assert list(run.logs()) == ["as submitted"]


def test_resume_runs_the_submitted_code_unless_told_otherwise(make: Make, tmp_path: Path) -> None:
    run = make("print('as submitted'); raise SystemExit(1)")
    run.drive_here(1, say=lambda _: None)
    (tmp_path / "project" / "jobs" / "probe.py").write_text("print('newer'); raise SystemExit(1)")
    run.resume(say=lambda _: None)
    run.resume(say=lambda _: None, code_from=tmp_path / "project")
    assert list(run.logs()) == ["as submitted", "as submitted", "newer"]
    assert run.status().attempt == 3


def drive_in_thread(run: Run, stop: StopSignal, when: Callable[[str], None]) -> None:
    run.drive_here(1, say=when, stop=stop)


def test_a_stop_passes_on_as_sigterm_and_ends_in_stopped(make: Make) -> None:
    run = make(WAITS_FOR_SIGTERM)
    stop = StopSignal()
    drive_in_thread(run, stop, lambda _: stop.ask("the test"))
    status = run.status()
    assert status.state is State.STOPPED
    assert "the test" in status.reason


def test_after_the_grace_an_attempt_that_does_not_stop_is_killed(make: Make) -> None:
    run = make(IGNORES_SIGTERM, "cluster.stop_grace=500ms")
    stop = StopSignal()
    drive_in_thread(run, stop, lambda _: stop.ask("the test"))
    assert run.status().state is State.STOPPED
    assert "SIGKILL" in run.status().reason


def test_a_second_ctrl_c_does_not_wait_for_the_grace(make: Make) -> None:
    run = make(IGNORES_SIGTERM, "cluster.stop_grace=1h")
    stop = StopSignal()

    def twice(_: str) -> None:
        stop.ask_again("SIGINT")
        stop.ask_again("SIGINT")

    drive_in_thread(run, stop, twice)
    assert run.status().state is State.STOPPED


def test_a_stop_request_in_the_folder_reaches_the_driver(make: Make) -> None:
    run = make(WAITS_FOR_SIGTERM)

    def ask(_: str) -> None:
        run.stop(by="a colleague", wait=False)

    drive_in_thread(run, StopSignal(), ask)
    assert run.status().state is State.STOPPED
    assert "a colleague" in run.status().reason


def test_everything_that_an_attempt_started_ends_with_it(make: Make, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    run = make(f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(note)!r}, "w").write(str(child.pid))
    """)
    run.drive_here(1, say=print)
    assert not psutil.pid_exists(int(note.read_text()))


def test_secrets_of_the_environment_are_masked_in_the_log(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cr3t-0123456789")
    run = make("import os; print('key', os.environ['WANDB_API_KEY'])")
    run.drive_here(1, say=lambda _: None)
    assert list(run.logs()) == [f"key {MASK}"]


def test_a_run_has_one_driver(make: Make) -> None:
    run = make(WAITS_FOR_SIGTERM)
    stop = StopSignal()
    refused: list[str] = []

    def second(_: str) -> None:
        try:
            run.drive_here(2, say=print)
        except RequestError as err:
            refused.append(err.message)
        stop.ask("the test")

    drive_in_thread(run, stop, second)
    assert refused and "already has a driver" in refused[0]


def driver_of(run: Run, attempt: int = 1) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, as the command line starts one."""
    code = f"from orchestrator.cli.main import main; main(['resume', {run.id!r}, '--here'])"
    storage = run.folder.uri.rpartition("/")[0]
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"ORCHESTRATOR_STORAGE": storage},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)


def test_a_killed_driver_is_seen_as_failed_and_takes_its_attempt_along(
    make: Make, tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    run = make(f"""
        import os, time
        from orchestrator.cluster.attempt import end_with_driver
        end_with_driver()
        open({str(note)!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    """)
    driver = driver_of(run)
    wait_for(lambda: note.exists() and note.read_text() != "", "the attempt")
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    status = run.status()
    assert status.state is State.FAILED
    assert str(driver.pid) in status.reason
    wait_for(lambda: not psutil.pid_exists(int(note.read_text())), "the attempt to leave")


def test_the_ending_is_told_to_the_command_of_the_job(make: Make, tmp_path: Path) -> None:
    heard = tmp_path / "heard.json"
    run = make("raise SystemExit(3)", f"notify.command=[sh,-c,'cat > {heard}']")
    run.drive_here(1, say=print)
    ending = json.loads(heard.read_text())
    assert (ending["run"], ending["state"], ending["blame"]) == (run.id, "failed", "user")
    assert [event.fields["ok"] for event in run.events() if event.kind == "notified"] == [True]


def test_a_driver_that_died_before_its_attempt_began_is_not_queued_for_ever(make: Make) -> None:
    run = make("print('never reached')")
    code = (
        "import os; from orchestrator.api import Orchestrator;"
        "from orchestrator.runs.lease import Lease;"
        f"run = Orchestrator({run.folder.uri.rpartition('/')[0]!r}).find({run.id!r});"
        "Lease.acquire(run.folder.storage); run._record_submission(1, place='here'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    status = run.status()
    assert status.state is State.FAILED and status.is_lost
    run.resume(say=lambda _: None)
    assert run.status().attempt == 2
