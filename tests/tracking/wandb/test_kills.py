"""Everything that can go wrong between a run and W&B: each row arrives once, and nobody waits."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from orchestrator.tracking.wandb.forwarder import Forwarder
from orchestrator.tracking.wandb.report import Standing
from tests.tracking.wandb.making import Forwarders, Loopback, Writing

if TYPE_CHECKING:
    from tests.conftest import Disks

pytestmark = pytest.mark.faults
_GRACE_S = 90.0


def _ends_with_all(server: Loopback, run: Writing, forwarder: Forwarder, last: int) -> None:
    """Whatever happened before: all steps, once, in order."""
    run.end()
    assert forwarder.end(_GRACE_S), run.report()
    rows = server.rows(run.id)
    assert [row["train/step"] for row in rows] == list(range(1, last + 1))
    assert run.report().standing is Standing.COMPLETE


def _core_of(forwarder: Forwarder) -> list[psutil.Process]:
    try:
        children = psutil.Process(forwarder.pid).children(recursive=True) if forwarder.pid else []
        return [child for child in children if child.name() == "wandb-core"]
    except psutil.NoSuchProcess:
        return []


def _await(what: Callable[[], Any], within_s: float = 60.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.long)])
def test_killed_forwarder_and_wandb_core_neither_double_nor_drop_a_row(
    server: Loopback, run: Writing, forwarders: Forwarders, kills: int
) -> None:
    """One of the two, at a moment of chance, again and again."""
    forwarder = forwarders.keep(run)
    forwarder.start()
    chance, step = random.Random(kills), 0
    for number in range(kills):
        run.steps(step + 1, step + 50)
        step += 50
        server.wait_for_rows(run.id, 1 + 50 * number, within_s=150)  # each wait is longer
        time.sleep(chance.random() * 0.5)
        if number % 2:
            (core,) = _await(lambda: _core_of(forwarder))
            core.kill()
        elif forwarder.pid is not None:
            os.kill(forwarder.pid, signal.SIGKILL)
        run.steps(step + 1, step + 25)
        step += 25
    _ends_with_all(server, run, forwarder, step)


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "count": 4},
        {"status": 429, "count": 4},
        {"drop": "before", "count": 4},
        {"drop": "after", "count": 4},
        {"slow_s": 3.0, "count": 3},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
@pytest.mark.parametrize("at", ["file_stream", "graphql"])
def test_a_server_that_misbehaves_gets_each_row_once(
    server: Loopback, run: Writing, forwarders: Forwarders, fault: dict[str, Any], at: str
) -> None:
    forwarder = forwarders.keep(run)
    server.fault(**fault, at=at)
    forwarder.start()
    run.steps(1, 40)
    server.wait_for_rows(run.id, 1, within_s=90)
    run.steps(41, 60)
    _ends_with_all(server, run, forwarder, 60)


@pytest.mark.long
@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_in_mid_run_is_overcome_when_it_ends(
    server: Loopback, run: Writing, forwarders: Forwarders, status: int
) -> None:
    forwarder = forwarders.keep(run)
    forwarder.start()
    run.steps(1, 10)
    server.wait_for_rows(run.id, 10)
    server.fault(status=status, count=6)
    run.steps(11, 30)
    _await(lambda: server.state()["faults_left"] == 0, within_s=120)
    _ends_with_all(server, run, forwarder, 30)


@pytest.mark.long
def test_a_server_that_is_down_holds_up_nobody_and_gets_all_when_it_is_back(
    start_server: Callable[..., Loopback], run: Writing, forwarders: Forwarders
) -> None:
    first = start_server()
    forwarders.environment["WANDB_BASE_URL"] = first.url
    first.process.kill()
    first.process.wait()
    forwarder = forwarders.keep(run)
    forwarder.start()
    run.steps(1, 20)
    time.sleep(5)
    server = start_server(int(first.url.rpartition(":")[2]))
    server.wait_for_rows(run.id, 20, within_s=120)
    _ends_with_all(server, run, forwarder, 20)


@pytest.mark.long
def test_an_end_without_a_server_takes_no_longer_than_its_grace_and_leaves_no_process(
    start_server: Callable[..., Loopback], run: Writing, forwarders: Forwarders
) -> None:
    server = start_server()
    forwarders.environment["WANDB_BASE_URL"] = server.url
    forwarder = forwarders.keep(run)
    forwarder.start()
    run.steps(1, 5)
    server.wait_for_rows(run.id, 5, within_s=90)
    server.process.kill()
    run.steps(6, 9)
    _await(lambda: _core_of(forwarder))
    ours = [psutil.Process(forwarder.pid), *_core_of(forwarder)]
    run.end()
    assert not forwarder.end(3.0)
    _, alive = psutil.wait_procs(ours, timeout=20)
    assert alive == []


@pytest.mark.long
def test_a_full_disk_of_wandbs_folder_costs_no_row(
    server: Loopback, run: Writing, forwarders: Forwarders, disks: Disks
) -> None:
    disk = disks.mount("size=64k")
    (disk / "full").write_bytes(b"x" * 60 * 1024)
    forwarders.environment["ORCHESTRATOR_HOME"] = str(disk)
    forwarder = forwarders.keep(run)
    forwarder.start()
    run.steps(1, 300)
    time.sleep(15)
    assert forwarder.pid is not None or run.report() is not None
    (disk / "full").unlink()
    server.wait_for_rows(run.id, 300, within_s=120)
    _ends_with_all(server, run, forwarder, 300)


def test_a_key_that_is_not_there_costs_the_end_of_a_run_nothing(
    run: Writing, forwarders: Forwarders
) -> None:
    del forwarders.environment["WANDB_API_KEY"]
    forwarder = forwarders.keep(run)
    forwarder.start()
    run.steps(1, 3)
    run.end()
    assert not forwarder.end(20.0)
    assert "there is no key" in run.report().reason
    assert len(run.folder.storage.list("wandb/leases")) <= 2  # not again and again
