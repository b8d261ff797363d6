"""The `probe` job's body: measure a worker group, print what each rank saw, fail if one differs."""

from __future__ import annotations

import statistics
from typing import Any

import ray.train.torch
from rich.table import Table

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.measures import Bench
from orchestrator.cluster.workers import Worker, run_workers, wait_until
from orchestrator.runs.picture import as_text
from orchestrator.settings.probe import CHECKS, ProbeJob
from orchestrator.tracking.metrics import MetricsWriter


def probe(attempt: Attempt) -> None:
    rows = run_workers(attempt, probe_rank)
    metrics = MetricsWriter(attempt.run.storage, attempt=attempt.number, writer="driver")
    metrics.write(0, summarise(rows))
    metrics.close()
    attempt.ledger.record("probed", ranks=rows)
    print(draw(rows))


def probe_rank(worker: Worker) -> dict[str, Any]:
    """Every check in order, on every rank at once; then stay for `probe.hold`."""
    assert isinstance(worker.job, ProbeJob)
    settings = worker.job.probe
    bench = Bench(worker=worker, probe=settings, device=ray.train.torch.get_device())
    values: dict[str, float] = {}
    for number, name in enumerate(settings.checks):
        worker.show(f"measuring {name}", number, len(settings.checks), "checks")
        if worker.rank == 0:
            print(f"measuring {name}", flush=True)
        values |= CHECKS[name](bench)
        if worker.should_stop():
            break
    if settings.hold and not worker.should_stop():
        worker.show(f"holding for {settings.hold:g} s")
        if worker.rank == 0:
            print(f"holding for {settings.hold:g} s", flush=True)
        wait_until(worker, settings.hold)
    return {
        "rank": worker.rank,
        "node": worker.node,
        "device": str(bench.device),
        "values": values,
    }


def summarise(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The median over ranks of each figure, and each rank's own."""
    values: dict[str, float] = {}
    for name in rows[0]["values"]:
        values[name] = statistics.median(row["values"][name] for row in rows)
        values |= {f"rank/{row['rank']}/{name}": row["values"][name] for row in rows}
    return values


def draw(rows: list[dict[str, Any]]) -> str:
    """A row a figure, a column a rank: readable with two ranks and with sixty."""
    shown = rows[:12]
    table = Table(title=f"probe of {len(rows)} ranks", title_justify="left")
    table.add_column("figure")
    for row in shown:
        table.add_column(f"rank {row['rank']}\n{row['node']}\n{row['device']}", justify="right")
    for name in rows[0]["values"]:
        cells = [f"{row['values'][name]:,.3g}" for row in shown]
        table.add_row(name, *cells)
    more = f"\n… and {len(rows) - 12} more ranks; all are in events/." if len(rows) > 12 else ""
    return as_text(table, width=min(200, 34 + 14 * len(shown))) + more
