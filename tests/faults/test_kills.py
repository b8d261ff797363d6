"""Real processes killed with SIGKILL at the worst moment; each run says so and can go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.cluster.local import LocalCluster
from tests.e2e.test_cluster import HOLDS, QUICK, status_of, submit, wait_for_state
from tests.e2e.test_here import ray_processes
from tests.real import Orchestrate, command

pytestmark = [pytest.mark.faults, pytest.mark.ray]


def driver_pid(environment: dict[str, str], run: str) -> int:
    folder = Path(environment["ORCHESTRATOR_STORAGE"]) / run / "leases"
    return int(json.loads(sorted(folder.iterdir())[-1].read_text())["pid"])


def attempt_of(driver: int) -> psutil.Process:
    [attempt] = [
        child for child in psutil.Process(driver).children() if "--attempt" in command_of(child)
    ]
    return attempt


def workers_of(cluster: LocalCluster) -> list[psutil.Process]:
    """Of this cluster only: other tests, and other people, may have a Ray here too."""
    return [one for one in cluster.processes() if "RayTrainWorker" in " ".join(command_of(one))]


def command_of(process: psutil.Process) -> list[str]:
    """Empty for a process that ended since it was listed: Ray's helpers come and go."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_a_killed_driver_of_a_submitted_run_is_failed_and_resume_completes_it(
    orchestrate: Orchestrate, cluster: LocalCluster, environment: dict[str, str]
) -> None:
    # It holds only while the file is missing, so that the resumed attempt comes to its end.
    project = Path(environment["PROJECT"])
    marker = project.parent / "let-go"
    (project / "patient.py").write_text(
        "import pathlib, time\n"
        "from orchestrator.settings.probe import CHECKS\n"
        "def wait(bench):\n"
        f"    while not pathlib.Path({str(marker)!r}).exists(): time.sleep(0.1)\n"
        "    return {'waited': 1.0}\n"
        "CHECKS.register('wait', wait)\n"
    )
    run = submit(orchestrate, "extensions=[patient]", "probe.checks=[clock,wait]", "name=killed")
    (project / "patient.py").unlink()
    wait_for_state(orchestrate, run, "running")
    driver = driver_pid(environment, run)
    attempt = attempt_of(driver)
    os.kill(driver, signal.SIGKILL)
    status = wait_for_state(orchestrate, run, "failed")
    assert str(driver) in status["reason"] and status["blame"] == "cluster"
    assert status["hint"] == f"orchestrator resume {run}"
    deadline = time.monotonic() + 30
    while attempt.is_running() and attempt.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the attempt outlived its driver"
        time.sleep(0.1)
    marker.touch()
    orchestrate("resume", run)
    assert wait_for_state(orchestrate, run, "finished", "failed")["state"] == "finished"
    assert status_of(orchestrate, run)["attempt"] == 2


@pytest.mark.long
def test_a_killed_attempt_is_told_by_its_driver_at_once(
    orchestrate: Orchestrate, cluster: LocalCluster, environment: dict[str, str]
) -> None:
    run = submit(orchestrate, *HOLDS, "name=attempt-killed", "recovery.infrastructure=0")
    wait_for_state(orchestrate, run, "running")
    attempt_of(driver_pid(environment, run)).kill()
    status = wait_for_state(orchestrate, run, "failed")
    assert "SIGKILL" in status["reason"] and status["blame"] == "cluster"
    assert status["attempt"] == 1
    orchestrate("logs", "-f", run, code=1)


@pytest.mark.long
def test_a_killed_foreground_run_leaves_no_process(
    orchestrate: Orchestrate, environment: dict[str, str]
) -> None:
    before = ray_processes()
    foreground = subprocess.Popen(
        command("run", "probe", *QUICK, "probe.hold=1h", "name=foreground"),
        cwd=environment["PROJECT"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert foreground.stdout is not None
    for line in foreground.stdout:
        if "holding for" in line:
            break
    foreground.kill()
    foreground.wait()
    foreground.stdout.close()
    status = json.loads(orchestrate("status", "foreground", "--json").stdout)
    assert status["state"] == "failed" and str(foreground.pid) in status["reason"]
    deadline = time.monotonic() + 40
    while ray_processes() - before:
        assert time.monotonic() < deadline, "Ray outlived the run that started it"
        time.sleep(0.2)
