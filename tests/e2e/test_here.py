"""`run`: a real Ray started for one run on this machine, and ended with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.real import Orchestrate, command

pytestmark = pytest.mark.ray

QUICK = ("probe.message_bytes=[4096]", "probe.matmul_size=64", "probe.storage_bytes=64KiB")


def ray_processes() -> set[int]:
    """Every process of any Ray on this machine."""
    found = set()
    for process in psutil.process_iter(["cmdline", "name"]):
        words = " ".join(process.info["cmdline"] or [process.info["name"] or ""])
        if "ray::" in words or "/ray/core/" in words or "ray/_private" in words:
            found.add(process.pid)
    return found


def answer(orchestrate: Orchestrate, verb: str, run: str = "@last", **more: str) -> dict:
    return json.loads(orchestrate(verb, run, "--json", **more).stdout)


@pytest.mark.long
def test_a_probe_of_two_ranks_measures_and_leaves_nothing(
    orchestrate: Orchestrate, environment: dict[str, str]
) -> None:
    before = ray_processes()
    project = Path(environment["PROJECT"])
    (project / "my_checks.py").write_text(
        "import os\n"
        "from orchestrator.settings.probe import CHECKS\n"
        "CHECKS.register('answer', lambda bench: {'answer': 42.0 + bench.worker.rank,\n"
        "    'is_passive': float(os.environ['OMP_WAIT_POLICY'] == 'passive')})\n"
    )
    done = orchestrate(
        *("run", "probe", "cluster.num_workers=2", *QUICK, "extensions=[my_checks]"),
        "probe.checks=[storage,clock,allreduce,matmul,answer]",
    )
    (project / "my_checks.py").unlink()
    assert "probe of 2 ranks" in done.stdout and "TrainController" not in done.stdout
    [line] = answer(orchestrate, "metrics")["metrics"]
    values = line["values"]
    assert (values["rank/0/answer"], values["rank/1/answer"]) == (42.0, 43.0)
    assert values["rank/0/is_passive"] == values["rank/1/is_passive"] == 1.0
    for name in ("storage_read_mb_per_s", "allreduce_4KiB_ms", "matmul_fp32_tflops"):
        assert values[name] > 0
    assert ray_processes() <= before
    assert sorted(path.name for path in project.iterdir()) == ["train.py"]


@pytest.mark.long
def test_a_worker_that_differs_from_the_plan_ends_the_run_by_name(
    orchestrate: Orchestrate, environment: dict[str, str]
) -> None:
    """The snapshot is changed under the run after its plan was made."""
    project = Path(environment["PROJECT"])
    (project / "sneaky.py").write_text(
        "import pathlib\n"
        "target = pathlib.Path('train.py')\n"
        "if pathlib.Path('.orchestrator-code.json').exists(): target.write_text('changed')\n"
    )
    done = orchestrate("run", "probe", *QUICK, "extensions=[sneaky]", code=1)
    (project / "sneaky.py").unlink()
    assert "do not run what was planned" in done.stdout
    assert "train.py" in done.stdout
    assert answer(orchestrate, "status")["blame"] == "cluster"


@pytest.mark.long
def test_a_check_that_raises_is_told_once_with_its_rank(
    orchestrate: Orchestrate, environment: dict[str, str]
) -> None:
    project = Path(environment["PROJECT"])
    (project / "broken.py").write_text(
        "from orchestrator.settings.probe import CHECKS\n"
        "def check(bench):\n    raise ValueError('no such device')\n"
        "CHECKS.register('broken', check)\n"
    )
    orchestrate("run", "probe", "extensions=[broken]", "probe.checks=[broken]", code=1)
    (project / "broken.py").unlink()
    status = answer(orchestrate, "status")
    assert "rank 0: ValueError: no such device" in status["reason"]
    assert status["blame"] == "user"


@pytest.mark.long
def test_a_run_on_an_object_store_is_the_same_run(orchestrate: Orchestrate, s3_uri: str) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    more = {"ORCHESTRATOR_STORAGE": s3_uri, **credentials}
    orchestrate("run", "probe", *QUICK, "cluster.num_workers=2", **more)
    assert answer(orchestrate, "status", **more)["state"] == "finished"
    assert "probe of 2 ranks" in orchestrate("logs", "@last", **more).stdout
    assert len(answer(orchestrate, "metrics", **more)["metrics"]) == 1


@pytest.mark.long
def test_ctrl_c_stops_at_a_safe_point_and_resume_completes(
    orchestrate: Orchestrate, environment: dict[str, str]
) -> None:
    before = ray_processes()
    words = ("run", "probe", "probe.checks=[clock]", "probe.hold=1h", "name=ctrl-c")
    foreground = subprocess.Popen(
        command(*words),
        cwd=environment["PROJECT"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert foreground.stdout is not None
    for line in foreground.stdout:
        if "holding for" in line:
            break
    os.killpg(foreground.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
    output = foreground.stdout.read()
    assert foreground.wait(timeout=60) == 4, output
    foreground.stdout.close()
    assert answer(orchestrate, "status", "ctrl-c")["state"] == "stopped"
    deadline = time.monotonic() + 20
    while ray_processes() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray_processes() <= before
