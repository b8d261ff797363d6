"""One real local cluster for all tests that submit; it ends with them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from orchestrator.cluster.local import LocalCluster, find_local
from orchestrator.settings.secrets import secret_values
from tests.tracking.wandb.making import KEY, Loopback, node_of, start_loopback

# Planted in the environment of everything that these tests start; it must turn up nowhere.
PLANTED = {
    "WANDB_API_KEY": KEY,
    "AWS_SECRET_ACCESS_KEY": "planted-1234/ab+c",
}

Orchestrate = Callable[..., subprocess.CompletedProcess[str]]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *words]


def start(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """In the foreground of the tests' project; what it says can be read when it has ended."""
    return subprocess.Popen(
        words,
        cwd=environment["PROJECT"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="session")
def wandb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """For runs that ask to be tracked; conftest.py turns it off for all others."""
    server = start_loopback(tmp_path_factory.mktemp("loopback"))
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, wandb_server: Loopback) -> dict[str, str]:
    home = tmp_path_factory.mktemp("e2e")
    project = home / "project"
    project.mkdir()
    (project / "train.py").write_text("print('mine')\n")
    assert secret_values(PLANTED) == PLANTED
    return (
        os.environ
        | PLANTED
        | node_of(wandb_server, home)
        | {
            "ORCHESTRATOR_HOME": str(home / "state"),
            "ORCHESTRATOR_STORAGE": str(home / "runs"),
            "PROJECT": str(project),
        }
    )


@pytest.fixture(scope="session")
def orchestrate(environment: dict[str, str]) -> Orchestrate:
    """The command line, in the test's project folder. Its exit code is asserted."""

    def run(*words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(*words),
            cwd=environment["PROJECT"],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=240,
        )
        told = f"{words} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, told
        assert "Traceback" not in done.stderr, told
        return done

    return run


@pytest.fixture(scope="session")
def cluster(environment: dict[str, str], orchestrate: Orchestrate) -> Iterator[LocalCluster]:
    orchestrate("cluster", "up", "--port", "0", "--num-cpus", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORCHESTRATOR_HOME", environment["ORCHESTRATOR_HOME"])
        up = find_local()
    assert up is not None
    processes = up.processes()
    yield up
    orchestrate("cluster", "down")
    left = [process for process in processes if process.is_running()]
    assert not left, f"`cluster down` left {left}"
