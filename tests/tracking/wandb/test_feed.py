from __future__ import annotations

import json
import random
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.tracking.wandb import places
from orchestrator.tracking.wandb.feed import Feed
from orchestrator.tracking.wandb.projection import STEP, Projection, Row


def _line(step: int, attempt: int = 1, **values: float | None) -> bytes:
    plain = {"step": step, "attempt": attempt, "time": 5.0, "tokens": 0, "values": values}
    return json.dumps(plain).encode()


def _read_all(feed: Feed) -> list[Row]:
    return [*feed.replay(), *_read_new(feed)]


def _read_new(feed: Feed) -> list[Row]:
    rows: list[Row] = []
    while new := feed.read_new():
        rows += new
    feed.close()
    return rows


@given(attempts=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=5))
def test_each_figure_has_one_value_at_each_step_whatever_is_repeated(
    attempts: list[tuple[int, int]],
) -> None:
    """Each attempt goes on from some step that was reached before it."""
    projection, shown, reached = Projection(), [], 0
    for number, (back, length) in enumerate(attempts, 1):
        first = max(0, reached - back) + 1
        for step in range(first, first + length):
            row = projection.row(_line(step, number, loss=float(step)))
            shown += [row[STEP]] if row else []
        reached = max(reached, first + length - 1)
    assert shown == list(range(1, reached + 1))


def test_what_a_repeated_step_has_new_is_shown() -> None:
    projection = Projection()
    assert projection.row(_line(5, loss=1.0)) is not None
    row = projection.row(_line(5, 2, loss=1.0, accuracy=0.5))
    assert row is not None and "loss" not in row and row["accuracy"] == 0.5


def test_samples_of_one_step_are_all_shown() -> None:
    projection = Projection()
    rows = [projection.row(_line(5, cpu=float(load))) for load in (10, 20)]
    assert [row["cpu"] for row in rows if row] == [10.0, 20.0]


@pytest.mark.parametrize("line", [b"", b"{", b"[1]", b'{"step": "x"}', _line(1)])
def test_a_line_without_figures_is_no_row(line: bytes) -> None:
    assert Projection().row(line) is None


def test_what_is_no_number_is_told_as_none() -> None:
    row = Projection().row(_line(1, loss=None))
    assert row is not None and row["loss"] is None


@given(seed=st.integers(0, 2**32))
def test_a_row_has_the_same_number_for_every_forwarder(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Ranks write at random, forwarders come and go at random, the last one starts afresh."""
    run = open_storage(tmp_path_factory.mktemp("run"))
    chance, seen, feed = random.Random(seed), [], Feed(run=run)
    with ExitStack() as ranks:
        writers = []
        for rank in range(3):
            writers.append(MetricsWriter(run, attempt=1, writer=f"rank-{rank:03d}"))
            ranks.callback(writers[-1].close)
        for step in range(40):
            for rank, writer in enumerate(writers):
                if chance.random() < 0.7:
                    writer.write(step, {f"load/{rank}": step + rank / 10})
            if chance.random() < 0.3:
                seen += feed.read_new()
            if chance.random() < 0.1:
                feed.close()
                feed = Feed(run=run)
                assert list(feed.replay()) == seen
    seen += _read_new(feed)
    assert _read_all(Feed(run=run)) == seen
    loads = [(name, row[STEP]) for row in seen for name in row if name.startswith("load/")]
    written = sum(line.count(b"\n") for line in _metrics(run).values())
    assert len(set(loads)) == len(loads) == written


def _metrics(run: Storage) -> dict[str, bytes]:
    entries = run.list(layout.METRICS)
    return {entry.name: run.read(f"{layout.METRICS}/{entry.name}") for entry in entries}


def test_numbers_hold_on_every_storage(storage: Storage) -> None:
    run = storage.child("run")
    for attempt in (1, 2):
        writer = MetricsWriter(run, attempt=attempt, writer="rank-000")
        for step in range(5 * attempt):
            writer.write(step, {"loss": float(step)})
        writer.close()
        seen = _read_all(Feed(run=run))
        assert [row[STEP] for row in seen] == list(range(5 * attempt))


def test_half_a_line_is_no_row_yet(local: LocalStorage) -> None:
    file = local.path(f"{layout.METRICS}/0001-rank-000-0001.jsonl")
    file.parent.mkdir(parents=True)
    line = _line(1, loss=1.0) + b"\n"
    file.write_bytes(line[:20])
    feed = Feed(run=local)
    assert feed.read_new() == []
    file.write_bytes(line)
    assert len(feed.read_new()) == 1
    feed.close()


def test_a_line_that_a_disk_lost_keeps_its_number(local: LocalStorage) -> None:
    """A node lost its power: what was read and sent is not in the file any more."""
    writer = MetricsWriter(local, attempt=1, writer="rank-000")
    for step in range(4):
        writer.write(step, {"loss": 1.0})
    writer.close()
    assert len(_read_all(Feed(run=local))) == 4
    file = local.path(f"{layout.METRICS}/0001-rank-000-0001.jsonl")
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    writer = MetricsWriter(local, attempt=2, writer="rank-000")
    writer.write(9, {"loss": 1.0})
    writer.close()
    rows = _read_all(Feed(run=local))
    assert [row.get(STEP) for row in rows] == [0, 1, None, None, 9]


def test_an_order_that_is_damaged_is_refused(local: LocalStorage) -> None:
    local.write(f"{places.ORDER}/0001-forwarder-0001.jsonl", b"{}\n")
    with pytest.raises(OrchestratorError, match=r"wandb/order is damaged.*no reading of metrics"):
        list(Feed(run=local).replay())
