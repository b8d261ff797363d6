from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from orchestrator.runs import layout
from orchestrator.runs.storage import LocalStorage, Storage
from orchestrator.tracking.metrics import MetricsWriter, read_metrics
from orchestrator.tracking.system import SystemSampler, SystemWriter, is_system, named
from orchestrator.tracking.table import MetricTable


def test_a_sample_is_numbers_that_metrics_can_hold() -> None:
    sampler = SystemSampler("GPU-that-is-not-there")
    held = bytearray(64 * 2**20)
    figures = sampler.sample()
    assert {"cpu_percent", "memory_mib", "node/cpu_percent", "node/memory_percent"} <= set(figures)
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())
    assert figures["memory_mib"] > len(held) / 2**20 / 2
    assert set(named(3, figures)) == {f"system/rank/3/{name}" for name in figures}


def wait_for_lines(run: Storage, step: int) -> None:
    deadline = time.monotonic() + 20
    while sum(line["step"] == step for line in read_metrics(run)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_each_rank_writes_at_the_step_that_it_reached(storage: Storage) -> None:
    writers = [
        SystemWriter(storage, attempt=1, rank=rank, gpu=None, every_s=0.02) for rank in (0, 1)
    ]
    for step in (1, 2):
        for writer in writers:
            writer.beat(step)
        if storage.is_local:  # a store has them all in the end
            wait_for_lines(storage, step)
    for writer in writers:
        writer.close()
    lines = read_metrics(storage)
    for rank in (0, 1):
        own = [line for line in lines if f"system/rank/{rank}/cpu_percent" in line["values"]]
        steps = [line["step"] for line in own]
        assert steps[-1] == 2 and steps == sorted(steps)
    assert all(is_system(entry.name[5:]) for entry in storage.list(layout.METRICS))


def test_an_attempt_that_made_no_step_takes_none_back(storage: Storage) -> None:
    """Lines at step 0 would say that it began again from there."""
    training = MetricsWriter(storage, attempt=1, writer="rank-000")
    for step in (1, 2, 3):
        training.write(step, {"train/loss": 1.0 / step})
    training.close()
    SystemWriter(storage, attempt=2, rank=0, gpu=None, every_s=0.001).close()
    later = SystemWriter(storage, attempt=3, rank=0, gpu=None)
    later.beat(3)
    later.close()
    table = MetricTable(storage)
    table.read_new()
    assert table.columns().step.tolist() == [1, 2, 3]
    assert table.columns().attempt.tolist() == [1, 1, 3]
    assert table.columns(["train/loss"], repeated=True).step.tolist() == [1, 2, 3, 3]


def test_a_storage_that_is_away_costs_samples_and_nothing_else(
    local: LocalStorage, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(local.path("")).parent.mkdir(parents=True, exist_ok=True)
    Path(local.path("")).write_text("a file where the folder should be")
    writer = SystemWriter(local, attempt=1, rank=0, gpu=None, every_s=0.001)
    writer.beat(1)
    time.sleep(0.05)
    writer.close()
    assert capfd.readouterr().err == ""
