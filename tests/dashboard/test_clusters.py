"""The page of clusters waits for none of them, and says what each of them said last."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dashboard.clusters import asked_by
from tests.cluster.test_http import head
from tests.cluster.test_load import node
from tests.dashboard.serving import Served, serving


@pytest.fixture(autouse=True)
def no_local_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))


def clusters(served: Served, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        (found,) = served.ask("/api/cluster").json()["clusters"]
        if until(found):
            return dict(found)
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_one_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    with socket.socket() as silent:  # takes connections and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with serving(str(tmp_path), address=address) as served:
            for _ in range(6):  # more than there are threads for
                (found,) = served.ask("/api/cluster").json()["clusters"]
                assert found == {"address": address, "is_asked": True}
            silent.close()
            told = clusters(served, lambda found: "error" in found)
            assert told["error"].startswith(f"No Ray cluster at {address}")


def test_one_that_answers_is_shown_with_its_nodes(tmp_path: Path) -> None:
    report = {"usage": {"CPU": [3.0, 16.0]}, "usageByNode": {}}
    data = {"summary": [node("a"), node("b", isHeadNode=True)], "clusterStatus": {}}
    data["clusterStatus"] = {"loadMetricsReport": report}
    body = json.dumps({"ray_version": "2.60.0", "data": data}).encode()
    with head(200, body) as address, serving(str(tmp_path), address=f"{address}/") as served:
        told = clusters(served, lambda found: "nodes" in found)
    assert (told["address"], told["ray_version"], told["in_use"]) == (address, "2.60.0", {"CPU": 3})
    assert [each["name"] for each in told["nodes"]] == ["b", "a"]


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (200, b"{}"), (500, b"")])
def test_what_is_no_ray_is_said_to_be_none(tmp_path: Path, status: int, body: bytes) -> None:
    with head(status, body) as address, serving(str(tmp_path), address=address) as served:
        told = clusters(served, lambda found: "error" in found)
    assert "not as a Ray dashboard does" in told["error"]


def test_a_run_asks_for_its_workers_and_a_sweep_for_trials_at_once() -> None:
    cluster = {"num_workers": 4, "cpus_per_worker": 2, "gpus_per_worker": 0.5}
    assert asked_by({"cluster": cluster}, "pretrain") == {"workers": 4, "cpus": 8, "gpus": 2.0}
    search = {"max_concurrent": 3}
    told = asked_by({"cluster": cluster | {"num_workers": 1}, "search": search}, "sweep")
    assert told == {"workers": 3, "cpus": 6, "gpus": 1.5}
    assert asked_by({}, "") == {"workers": 1, "cpus": 0, "gpus": 0}
