"""`doctor` tells of what is wrong with this machine; it does not fall over it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.planning.health import Check, examine


def cluster(home: Path) -> Check:
    (found,) = [check for check in examine(str(home / "runs")) if check.what == "cluster"]
    return found


def test_a_cluster_that_cannot_be_asked_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path))
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert cluster(tmp_path).verdict == "ok"
    record = {
        "address": "http://127.0.0.1:8265",
        "pid": os.getpid(),
        "pid_started": psutil.Process().create_time(),
        "started": time.time(),
        "token_file": str(tmp_path / "nowhere"),
        "log": "",
    }
    (tmp_path / "cluster.json").write_text(json.dumps(record))
    told = cluster(tmp_path)
    assert told.verdict == "wrong" and "token of the local cluster is not there" in told.found
    (tmp_path / "cluster.json").write_text("{")
    told = cluster(tmp_path)
    assert told.verdict == "wrong" and "cannot be read" in told.found
