"""A driver and its attempt as real processes; the job's script is a few lines without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
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
from tests.waiting import wait_for

pytestmark = pytest.mark.processes

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


# An attempt whose last word is what {outcome} says; `attempt` is its number.
TELLS = """
    import sys
    from orchestrator.cluster.outcome import Cause, Outcome
    from orchestrator.runs.find import open_run
    from orchestrator.runs.ledger import Ledger
    run = open_run(sys.argv[sys.argv.index("--run") + 1])
    attempt = int(sys.argv[sys.argv.index("--attempt") + 1])
    ledger = Ledger(run.storage, attempt=attempt, writer="attempt")
    ledger.record("attempt_ended", **({outcome}).to_plain())
"""
FAILS = "Outcome(state='failed', cause=Cause.{cause}, reason='so it was')"
NO_WAIT = ("recovery.backoff=0",)
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
    run = make("import os; os.kill(os.getpid(), 9)", "recovery.infrastructure=0")
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


def kinds_of(run: Run) -> list[tuple[str, int]]:
    told = ("attempt_started", "recovering", *(state.value for state in State if state.is_over))
    return [(event.kind, event.attempt) for event in run.events() if event.kind in told]


def test_a_killed_attempt_is_followed_by_the_next_with_a_number_of_its_own(make: Make) -> None:
    script = """
    import os, sys
    print("attempt", sys.argv[sys.argv.index("--attempt") + 1], flush=True)
    if sys.argv[sys.argv.index("--attempt") + 1] == "1":
        os.kill(os.getpid(), 9)
    """
    run = make(script + TELLS.replace("{outcome}", "Outcome.finished()"), *NO_WAIT)
    heard: list[str] = []
    run.drive_here(1, say=heard.append)
    status = run.status()
    assert (status.state, status.attempt, status.exit_code) == (State.FINISHED, 2, 0)
    assert kinds_of(run) == [
        *[("attempt_started", 1), ("recovering", 1)],
        *[("attempt_started", 2), ("finished", 2)],
    ]
    assert list(run.logs()) == ["attempt 1", "attempt 2"]
    [told] = [line for line in heard if line.startswith("Attempt 1 failed")]
    assert "SIGKILL" in told and "try 1 of 3" in told
    [event] = [event for event in run.events() if event.kind == "recovering"]
    assert event.fields["cause"] == "infrastructure" and event.fields["next_attempt"] == 2
    assert run.folder.expected(2) == run.folder.expected(1)


def test_a_run_that_dies_at_the_same_step_each_time_spends_its_budget(make: Make) -> None:
    """The first attempt gets to a checkpoint, which does not count twice."""
    script = (
        TELLS.replace("{outcome}", FAILS.format(cause="INFRASTRUCTURE"))
        + """
    from orchestrator.tracking.progress import ProgressWriter
    if attempt == 1:
        ledger.record("checkpoint_committed", step=400)
    ProgressWriter(run.storage).show("training", 410 + attempt, 1000, "steps")
    """
    )
    run = make(script, *NO_WAIT, "recovery.infrastructure=2")
    run.drive_here(1, say=lambda _: None)
    status = run.status()
    assert (status.state, status.attempt, status.exit_code) == (State.FAILED, 3, 5)
    assert "died 3 times between step 400 and 413" in status.reason
    assert status.hint == f"orchestrator resume {run.id}"


def test_progress_gives_the_budget_back(make: Make) -> None:
    script = (
        TELLS.replace("{outcome}", FAILS.format(cause="INFRASTRUCTURE"))
        + """
    if attempt < 4:
        ledger.record("checkpoint_committed", step=100 * attempt)
    """
    )
    run = make(script, *NO_WAIT, "recovery.infrastructure=1")
    run.drive_here(1, say=lambda _: None)
    assert (run.status().attempt, run.status().is_spent) == (4, True)
    run.resume(say=lambda _: None)  # a person who resumes gives it back too
    assert (run.status().attempt, run.status().is_spent) == (6, True)


def test_what_only_a_person_can_mend_is_not_tried_again(make: Make) -> None:
    run = make(TELLS.replace("{outcome}", FAILS.format(cause="NEVER_SATISFIABLE")), *NO_WAIT)
    run.drive_here(1, say=lambda _: None)
    assert (run.status().state, run.status().attempt) == (State.FAILED, 1)
    assert (run.status().reason, run.status().exit_code) == ("so it was", 1)
    [failed] = [event for event in run.events() if event.kind == "failed"]
    assert failed.fields["decision"] == "The cluster cannot give what is asked."


def test_a_group_that_ended_for_more_workers_goes_on_at_once(make: Make) -> None:
    moves = "Outcome(state='resized', cause=Cause.MORE_WORKERS) if attempt < 3"
    run = make(
        TELLS.replace("{outcome}", f"{moves} else Outcome.finished()"),
        "recovery.infrastructure=0",
        "recovery.backoff=1h",
    )
    run.drive_here(1, say=lambda _: None)
    assert (run.status().state, run.status().attempt) == (State.FINISHED, 3)
    causes = [event.fields["cause"] for event in run.events() if event.kind == "recovering"]
    assert causes == ["more workers"] * 2


@pytest.mark.parametrize("through_the_folder", [False, True])
def test_a_stop_during_the_wait_before_a_further_attempt_takes_effect_at_once(
    make: Make, through_the_folder: bool
) -> None:
    run = make("import os; os.kill(os.getpid(), 9)", "recovery.backoff=1h")
    stop = StopSignal()
    seen: list[State] = []

    def when(_: str) -> None:
        seen.append(run.status().state)
        if through_the_folder:
            run.stop(by="a colleague", wait=False)
        else:
            stop.ask("the test")

    drive_in_thread(run, stop, when)
    status = run.status()
    assert seen == [State.RECOVERING]
    assert (status.state, status.attempt, status.exit_code) == (State.STOPPED, 1, 4)
    assert ("a colleague" if through_the_folder else "the test") in status.reason


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


def driver_of(run: Run) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, as the command line starts one."""
    return command_line(run, "resume", run.id, "--here")


def command_line(run: Run, *words: str) -> subprocess.Popen[bytes]:
    code = f"from orchestrator.cli.main import main; main({list(words)!r})"
    storage = run.folder.uri.rpartition("/")[0]
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"ORCHESTRATOR_STORAGE": storage},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


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


def test_commands_that_see_a_budget_spent_end_with_a_code_of_their_own(make: Make) -> None:
    run = make("import os; os.kill(os.getpid(), 9)", *NO_WAIT, "recovery.infrastructure=1")
    assert driver_of(run).wait() == 5
    assert command_line(run, "logs", "-f", run.id).wait() == 5


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
