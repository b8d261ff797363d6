from __future__ import annotations

from contextlib import closing

from orchestrator.dashboard.goodput import NAMES, breakdown
from orchestrator.dashboard.marks import marks
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import LocalStorage
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.tracking.table import Columns, MetricTable
from tests.dashboard.making import BASE, STEP_S, Attempt, Script, make

CRASH = "rank 1 was killed"
TWICE = Script(
    number=7,
    attempts=[
        Attempt(first=1, last=50, ended="failed", reason=CRASH),
        Attempt(first=41, last=80, ended="finished"),
    ],
    checkpoint_every=40,
)


def lines(run: RunFolder, *, repeated: bool) -> Columns:
    table = MetricTable(run.storage)
    table.read_new()
    return table.columns(NAMES, repeated=repeated)


def test_all_time_of_the_attempts_is_accounted_for(local: LocalStorage) -> None:
    run = make(local, TWICE)
    spent = breakdown(run.events(), lines(run, repeated=True), now=BASE + 10_000)
    attempts = (50 * STEP_S + 14) + (40 * STEP_S + 14)
    assert round(sum(spent.values()), 6) == round(attempts, 6)
    assert round(spent["useful"], 6) == 80 * STEP_S
    assert round(spent["repeated"], 6) == 10 * STEP_S
    assert spent["waiting"] == 2 * 3
    assert spent["starting"] == 2 * 9
    assert spent["checkpointing"] > 0


def test_the_steps_of_its_parent_took_none_of_a_forks_time(local: LocalStorage) -> None:
    run = make(local, TWICE)
    own = breakdown(run.events(), lines(run, repeated=True), now=BASE + 10_000)
    with closing(MetricsWriter(run.storage, attempt=0, writer="rank-000")) as writer:
        writer.write(1, {"train/step_s": 50.0})
    assert breakdown(run.events(), lines(run, repeated=True), now=BASE + 10_000) == own


def test_a_run_without_metrics_only_waits_and_starts(local: LocalStorage) -> None:
    run = make(local, Script(number=8, attempts=[Attempt(first=1, last=0, ended="running")]))
    spent = breakdown(run.events(), lines(run, repeated=True), now=BASE + 100)
    assert (spent["waiting"], spent["starting"], spent["useful"]) == (3, 9, 0)
    assert spent["other"] == 88


def test_events_lie_where_the_run_was(local: LocalStorage) -> None:
    run = make(local, TWICE)
    found = {
        (mark["kind"], mark["attempt"]): mark
        for mark in marks(run.events(), lines(run, repeated=False))
    }
    assert found["resumed", 2]["step"] == 40
    assert found["resumed", 2]["text"] == "from step 40, 10 steps lost"
    failed = found["failed", 1]
    assert (failed["is_fault"], failed["text"], failed["tokens"]) == (True, CRASH, 40 * 16384)
    assert found["finished", 2]["step"] == 80
    assert not found["finished", 2]["is_fault"]
