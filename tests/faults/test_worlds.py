"""Workers and nodes that die, hang, go and come: a run goes on with what there is.

The job's body counts steps until it is let go, and commits when it is asked to end.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.cluster.local import LocalCluster
from tests.e2e.test_cluster import status_of, submit, wait_for_state
from tests.faults.test_kills import command_of, workers_of
from tests.real import Orchestrate
from tests.waiting import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.ray]

JOB = """
from orchestrator.cli.job import job_main

if __name__ == "__main__":
    job_main("probe", "counting:count")
"""
BODY = """
import time
from pathlib import Path

from orchestrator.cluster.workers import run_workers
from orchestrator.runs.ledger import Ledger

LET_GO = Path({let_go!r})


def count(attempt):
    attempt.ledger.record("counted", worlds=run_workers(attempt, count_rank, can_resize=True))


def count_rank(worker):
    committed = [e for e in worker.run.events() if e.kind == "checkpoint_committed"]
    step = max((event.fields["step"] for event in committed), default=0)
    while not worker.should_stop() and not worker.gather(LET_GO.exists())[0]:
        step += 1
        worker.beat(step)
        worker.show("counting", step, None, "steps")
        time.sleep(0.05)
    if worker.rank == 0:
        ledger = Ledger(worker.run.storage, attempt=worker.attempt, writer="rank-000")
        ledger.record("checkpoint_committed", step=step)
        ledger.close()
    return worker.world
"""


@pytest.fixture
def let_go(environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The file that ends a count; meanwhile the project's probe job counts."""
    project, file = Path(environment["PROJECT"]), tmp_path / "let-go"
    (project / "jobs").mkdir()
    (project / "jobs" / "probe.py").write_text(JOB)
    (project / "counting.py").write_text(BODY.format(let_go=str(file)))
    yield file
    file.touch()
    (project / "counting.py").unlink()
    (project / "jobs" / "probe.py").unlink()
    (project / "jobs").rmdir()


class Nodes:
    """More nodes of the local cluster: each a `ray start` on this machine."""

    def __init__(self, cluster: LocalCluster) -> None:
        raylet = next(one for one in cluster.processes() if one.name() == "raylet")
        [self.head] = [
            word.partition("=")[2] for word in raylet.cmdline() if word.startswith("--gcs-address")
        ]
        self._environment = os.environ | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": cluster.token_file,
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def add(self) -> subprocess.Popen[bytes]:
        """One with a single CPU."""
        words = ["start", f"--address={self.head}", "--num-cpus=1", "--block"]
        words += ["--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0"]
        node = subprocess.Popen(
            [str(Path(sys.executable).parent / "ray"), *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(node)
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """All at once, as when the power goes."""
        family = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        for process in family:
            process.kill()
        node.wait()
        psutil.wait_procs(family, timeout=10)

    def drain(self, node: subprocess.Popen[bytes]) -> None:
        """What a provider does who takes a node away with notice."""
        family = psutil.Process(node.pid).children(recursive=True)
        words = " ".join(word for one in family for word in command_of(one))
        [node_id] = set(re.findall(r"--node-id=(\w+)", words))
        asked = ["drain-node", f"--address={self.head}", f"--node-id={node_id}"]
        asked += ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=test"]
        asked += ["--deadline-remaining-seconds=60"]
        ray = str(Path(sys.executable).parent / "ray")
        subprocess.run([ray, *asked], env=self._environment, check=True, capture_output=True)

    def end(self) -> None:
        for node in self._started:
            if node.poll() is None:
                self.kill(node)


@pytest.fixture
def nodes(cluster: LocalCluster) -> Iterator[Nodes]:
    made = Nodes(cluster)
    yield made
    made.end()


def events_of(orchestrate: Orchestrate, run: str, kind: str) -> list[dict[str, Any]]:
    events = json.loads(orchestrate("events", run, "--json").stdout)["events"]
    return [event for event in events if event["kind"] == kind]


def wait_for_world(orchestrate: Orchestrate, run: str, attempt: int, world: int) -> None:
    def runs() -> bool:
        worlds = {
            event["attempt"]: event["workers"] for event in events_of(orchestrate, run, "running")
        }
        return worlds.get(attempt) == world

    wait_for(runs, f"attempt {attempt} with {world} workers", timeout_s=240, every_s=0.3)


@pytest.mark.long
def test_a_killed_worker_costs_an_attempt_and_not_the_run(
    orchestrate: Orchestrate, cluster: LocalCluster, let_go: Path
) -> None:
    run = submit(orchestrate, "cluster.num_workers=2", "recovery.backoff=0", "name=worker-killed")
    wait_for_world(orchestrate, run, 1, 2)
    workers_of(cluster)[0].kill()
    wait_for_world(orchestrate, run, 2, 2)
    let_go.touch()
    assert wait_for_state(orchestrate, run, "finished", "failed")["state"] == "finished"
    [recovering] = events_of(orchestrate, run, "recovering")
    assert recovering["cause"] == "infrastructure" and "rank" in recovering["reason"]


@pytest.mark.long
def test_a_worker_that_hangs_ends_its_attempt_and_is_gone(
    orchestrate: Orchestrate, cluster: LocalCluster, let_go: Path
) -> None:
    given = ("cluster.num_workers=2", "cluster.hang_timeout=8s", "recovery.backoff=0")
    run = submit(orchestrate, *given, "name=hung")
    wait_for_world(orchestrate, run, 1, 2)
    time.sleep(1)  # some steps
    stopped = workers_of(cluster)[0]
    stopped.send_signal(signal.SIGSTOP)
    wait_for_world(orchestrate, run, 2, 2)
    assert not stopped.is_running()
    let_go.touch()
    assert wait_for_state(orchestrate, run, "finished", "failed")["state"] == "finished"
    [recovering] = events_of(orchestrate, run, "recovering")
    assert recovering["cause"] == "infrastructure"
    assert "cluster.hang_timeout" in recovering["reason"]


@pytest.mark.long
def test_a_run_shrinks_with_a_lost_node_grows_with_a_new_one_and_leaves_one_that_goes(
    orchestrate: Orchestrate, cluster: LocalCluster, nodes: Nodes, let_go: Path
) -> None:
    first = nodes.add()
    wait_for(lambda: cluster.http().facts().resources["CPU"] == 3, "the second node", timeout_s=240)
    given = ("cluster.num_workers=3", "cluster.min_workers=2", "cluster.settle=2s")
    run = submit(orchestrate, *given, "recovery.backoff=0", "recovery.infrastructure=2", "name=el")
    wait_for_world(orchestrate, run, 1, 3)
    nodes.kill(first)
    wait_for_world(orchestrate, run, 2, 2)
    second = nodes.add()
    wait_for_world(orchestrate, run, 3, 3)
    nodes.drain(second)
    wait_for_world(orchestrate, run, 4, 2)
    let_go.touch()
    assert wait_for_state(orchestrate, run, "finished", "failed")["state"] == "finished"
    causes = [event["cause"] for event in events_of(orchestrate, run, "recovering")]
    assert causes == ["infrastructure", "more workers", "preemption"]
    steps = [event["step"] for event in events_of(orchestrate, run, "checkpoint_committed")]
    assert len(steps) == 3 and steps == sorted(steps)
    assert status_of(orchestrate, run)["attempt"] == 4
