from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from orchestrator.dashboard.index import Index
from orchestrator.errors import NotFoundError
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.folder import RunFolder, create_run
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.plan import Plan
from orchestrator.runs.storage import LocalStorage, Storage
from orchestrator.tracking.metrics import MetricsWriter
from tests.dashboard.making import Attempt, Script, make
from tests.waiting import wait_for

LIVE = "20261121-031522-live-aaaa"


@pytest.fixture
def index(storage: Storage) -> Iterator[Index]:
    with closing(Index(Archive(storage))) as made:
        yield made


def rows(index: Index) -> dict[str, dict[str, Any]]:
    index.forget_time()
    return {row["id"]: row for row in index.rows()}


def test_a_row_says_what_the_folder_says(storage: Storage, index: Index) -> None:
    attempts = [Attempt(first=1, last=120)]
    older = make(storage, Script(number=1, began=1.7e9, attempts=attempts, tags=["a"]))
    newer = make(storage, Script(number=2, attempts=attempts, parent=older.id))
    found = rows(index)
    assert list(found) == [newer.id, older.id]
    row = found[older.id]
    assert (row["state"], row["job"], row["model"]) == ("finished", "pretrain", "bert 4×256")
    assert (row["step"], row["steps"], row["tokens"]) == (120, 120, 120 * 16384)
    assert (row["tags"], row["group"], found[newer.id]["group"]) == (["a"], "", older.id)
    assert row["loss"] is not None and row["eval_loss"] is not None and row["tokens_per_s"] > 1


def test_what_is_done_to_a_run_that_is_over_is_seen(local: LocalStorage) -> None:
    """On a disk, whose folders have a time; a store is asked again after half a minute."""
    run = make(local, Script(number=1, attempts=[Attempt(first=1, last=3, ended="stopped")]))
    with closing(Index(Archive(local))) as index:
        assert rows(index)[run.id]["tags"] == []
        run.note("tagged", add=["good"])
        wait_for(lambda: rows(index)[run.id]["tags"] == ["good"], "the tag")
        run.note("submitted", attempt=2, place="here")
        wait_for(lambda: rows(index)[run.id]["state"] == "queued", "the state")


def test_a_live_run_moves_as_it_writes(storage: Storage, index: Index, plan: Plan) -> None:
    run = create_run(storage, LIVE, plan)
    assert rows(index)[LIVE]["state"] == "queued"
    ledger = Ledger(run.storage, attempt=1, writer="driver")
    ledger.record("attempt_started")
    ledger.record("running")
    metrics = MetricsWriter(run.storage, attempt=1, writer="rank-000")
    for step in (1, 2):
        metrics.write(step, {"train/loss": 10.0 - step}, tokens=step)
        metrics.flush()
        row = rows(index)[LIVE]
        assert (row["state"], row["step"], row["loss"]) == ("running", step, 10.0 - step)
    metrics.close()
    load = MetricsWriter(run.storage, attempt=1, writer="system-000")  # is not looked into
    load.write(9, {"system/rank/0/cpu_percent": 50.0, "train/loss": -1.0})
    load.close()
    assert rows(index)[LIVE]["loss"] == 8.0 and rows(index)[LIVE]["step"] == 2
    ledger.record("finished")
    ledger.close()
    assert rows(index)[LIVE]["is_over"]


def test_runs_come_and_go(storage: Storage, index: Index) -> None:
    assert rows(index) == {}
    run = make(storage, Script(number=1, attempts=[Attempt(first=1, last=3)]))
    assert list(rows(index)) == [run.id]
    Archive(storage).delete(run)
    assert rows(index) == {}
    with pytest.raises(NotFoundError):
        index.get(run.id)


def test_one_damaged_run_does_not_hide_the_others(storage: Storage, index: Index) -> None:
    runs = [
        make(storage, Script(number=number, attempts=[Attempt(first=1, last=3)]))
        for number in range(4)
    ]
    damage(runs[0], layout.JOB)
    damage(runs[1], layout.LINEAGE)
    damage(runs[2], f"{layout.METRICS}/0001-rank-000-0001.jsonl")
    runs[2].storage.write(f"{layout.LEASES}/000001.json", b"{")
    found = rows(index)
    assert set(found) == {run.id for run in runs}
    assert found[runs[3].id]["loss"] is not None


def damage(run: RunFolder, name: str) -> None:
    run.storage.write(name, b"\xff{[\n")
