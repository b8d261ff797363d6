"""A pipeline whose driver is killed: what had finished stays, and resume does the rest."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.test_here import QUICK, ray_processes
from tests.real import Orchestrate, command

pytestmark = [pytest.mark.faults, pytest.mark.ray, pytest.mark.long]

CHECKS = """
import pathlib, time
from orchestrator.settings.probe import CHECKS

def wait(bench):
    print("waiting", flush=True)
    while not pathlib.Path({marker!r}).exists():
        time.sleep(0.1)
    return {{"waited": 1.0}}

def broken(bench):
    raise ValueError("no such device")

CHECKS.register("wait", wait)
CHECKS.register("broken", broken)
"""
MINE = ["extensions=[mine]"]
STEPS = {
    "first": {"job": "probe", "overrides": list(QUICK)},
    "second": {"job": "probe", "after": ["first"], "overrides": [*MINE, "probe.checks=[wait]"]},
    "bad": {"job": "probe", "after": ["first"], "overrides": [*MINE, "probe.checks=[broken]"]},
    "never": {"job": "probe", "after": ["bad"]},
}


def steps_of(orchestrate: Orchestrate, pipeline: str) -> dict[str, dict]:
    """By the words of their ids: 20261121-031522-killed-first-k7f3."""
    runs = json.loads(orchestrate("list", "--json").stdout)["runs"]
    return {run["run"].split("-")[-2]: run for run in runs if run["part_of"] == pipeline}


def test_a_pipeline_goes_on_after_its_driver_was_killed(
    orchestrate: Orchestrate, environment: dict[str, str], tmp_path: Path
) -> None:
    before = ray_processes()
    project, marker = Path(environment["PROJECT"]), tmp_path / "let-go"
    groups = project / "conf" / "pipeline"
    groups.mkdir(parents=True)
    (groups / "mine.yaml").write_text(yaml.safe_dump({"steps": STEPS}, sort_keys=False))
    (project / "mine.py").write_text(CHECKS.format(marker=str(marker)))
    foreground = subprocess.Popen(
        command("run", "pipeline", "pipeline=mine", "name=killed"),
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert foreground.stdout is not None
    output = []
    for line in foreground.stdout:
        output.append(line)
        if "second | " in line and "waiting" in line:
            break
    foreground.kill()
    output.append(foreground.stdout.read())
    foreground.wait()
    foreground.stdout.close()
    (project / "mine.py").unlink()
    (groups / "mine.yaml").unlink()
    groups.rmdir()
    groups.parent.rmdir()
    deadline = time.monotonic() + 40
    while ray_processes() - before:
        assert time.monotonic() < deadline, "Ray outlived the pipeline that started it"
        time.sleep(0.2)
    told = "".join(output)
    pipeline = next(line for line in output if line.startswith("run ")).split()[1]
    status = json.loads(orchestrate("status", pipeline, "--json").stdout)
    assert status["state"] == "failed", told

    marker.touch()
    done = orchestrate("resume", pipeline, code=1)
    steps = steps_of(orchestrate, pipeline)
    states = {name: (step["state"], step["attempt"]) for name, step in steps.items()}
    assert states == {"first": ("finished", 1), "second": ("finished", 2), "bad": ("failed", 1)}
    assert "step bad failed: " in done.stdout
    assert "rank 0: ValueError: no such device" in done.stdout
    assert "Not started: never." in done.stdout
    assert f"orchestrator logs {steps['bad']['run']}" in done.stdout
    assert ray_processes() <= before
