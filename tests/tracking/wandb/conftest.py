"""A run's folder, W&B's server on loopback, and forwarders as the real processes that they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runs import ids
from orchestrator.runs.folder import create_run
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import LocalStorage, Storage
from tests.tracking.wandb.making import Forwarders, Loopback, Writing, node_of, start_loopback


@pytest.fixture(scope="session")
def start_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Loopback]]:
    """Servers that end with the tests. `port` for one that comes back where another was."""
    started: list[Loopback] = []

    def start(port: int = 0) -> Loopback:
        started.append(start_loopback(tmp_path_factory.mktemp("loopback"), port))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="session")
def shared_server(start_server: Callable[..., Loopback]) -> Loopback:
    return start_server()


@pytest.fixture
def server(shared_server: Loopback) -> Loopback:
    shared_server.fault()
    return shared_server


@pytest.fixture
def node(tmp_path: Path, server: Loopback) -> dict[str, str]:
    """The driver's node: what its environment says of W&B."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return kept | {
        "HOME": str(tmp_path / "home"),
        "ORCHESTRATOR_HOME": str(tmp_path / "home" / "state"),
        "TMPDIR": _made(tmp_path / "tmp"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]]),
        **node_of(server, tmp_path / "home"),
    }


@pytest.fixture
def new_run(plan: Plan) -> Callable[..., Writing]:
    def make(storage: Storage, **changes: Any) -> Writing:
        folder = create_run(storage, ids.new_id("tiny"), replace(plan, **changes))
        return Writing(folder=folder)

    return make


@pytest.fixture
def run(new_run: Callable[..., Writing], local: Storage) -> Writing:
    return new_run(local)


@pytest.fixture
def forwarders(node: dict[str, str], tmp_path: Path) -> Iterator[Forwarders]:
    made = Forwarders(environment=node, home=tmp_path)
    yield made
    for forwarder in made.kept:
        forwarder.end(0.0)
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def orchestrated(
    forwarders: Forwarders, local: LocalStorage
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line, on the node."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *words, "--storage", local.uri],
            env=forwarders.environment,
            capture_output=True,
            text=True,
        )

    return run


def _made(folder: Path) -> str:
    folder.mkdir(parents=True)
    return str(folder)
