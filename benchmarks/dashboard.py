"""How fast the dashboard opens, and how much memory it takes: real server, real Chromium.

    python benchmarks/dashboard.py [--runs 300] [--rows 2000] [--folder DIR] [--json FILE]

Runs are those of tests/dashboard/making.py, 9 to 13 figures a line, and the sweep is of sweeping.py
there. Cold: a server that was started just now; warm: the same page again. Times are from the
request to the drawn page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from orchestrator.runs.storage import open_storage  # noqa: E402
from orchestrator.tracking.table import MetricTable  # noqa: E402
from tests.dashboard.browser import Browser, browsing  # noqa: E402
from tests.dashboard.making import BASE, Attempt, Script, make, many  # noqa: E402
from tests.dashboard.sweeping import ID as SWEEP  # noqa: E402
from tests.dashboard.sweeping import make_sweep  # noqa: E402

Row = dict[str, Any]
OVERLAID = 5
DRAWN = (
    "(() => {{ const chart = document.querySelector('[data-metric=\"train/loss\"]');"
    " return Number(chart?.dataset.series) === {} && chart.dataset.ready === 'yes'; }})()"
)
WHOLE = "Number(document.querySelector('[data-metric=\"train/loss\"]').dataset.rows) === {}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--lines", type=int, default=10**6, help="of the run that is read")
    parser.add_argument("--points", type=int, default=10**5, help="of each run in the chart")
    parser.add_argument("--trials", type=int, default=300, help="of the sweep")
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        rows = reading(Path(name) / "read", asked.lines)
        with browsing() as browser:
            rows += listing(browser, Path(name) / "many", asked.runs, asked.rows)
            rows += charting(browser, Path(name) / "long", asked.points)
            rows += sweeping(browser, Path(name) / "sweep", asked.trials)
    print(f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}")
    for each in rows:
        bound = f"(must be {each['bound']})" if "bound" in each else ""
        print(f"  {each['figure']:<58} {each['value']:>9,.3g} {each['unit']:<5} {bound}")
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


def reading(folder: Path, lines: int) -> list[Row]:
    attempts = [Attempt(first=1, last=lines)]
    run = make(open_storage(folder), Script(number=1, attempts=attempts, checkpoint_every=10**9))
    times = []
    for _ in range(3):
        table, begin = MetricTable(run.storage), time.perf_counter()
        table.read_new()
        columns = table.columns()
        times.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    table.read_new()
    again = time.perf_counter() - begin
    figures = len(columns.values)
    return [
        row(f"{lines:,} lines of {figures} figures as columns", statistics.median(times), 2.0),
        row("the same when nothing is new", again),
    ]


def listing(browser: Browser, folder: Path, runs: int, lines: int) -> list[Row]:
    many(open_storage(folder), runs=runs, rows=lines)
    shown = f"document.querySelectorAll('.runs-table tbody tr').length === {runs}"
    with serving(browser, folder) as server:
        cold = took(browser, "#/runs", shown)
        warm = statistics.median(took(browser, "#/runs", shown) for _ in range(5))
        memory = server.memory_info().rss / 2**20
        before = server.cpu_times()
        time.sleep(10)
        after = server.cpu_times()
    busy = (after.user + after.system - before.user - before.system) / 10 * 100
    name = f"{runs} runs of {lines:,} lines"
    return [
        row(f"{name}: first page, cold", cold, 3.0),
        row(f"{name}: first page, warm", warm, 1.0),
        {**row("  memory of the server", memory, 200), "unit": "MiB"},
        {**row("  its CPU while the page is open", busy), "unit": "%"},
    ]


def charting(browser: Browser, folder: Path, points: int) -> list[Row]:
    storage = open_storage(folder)
    attempts = [Attempt(first=1, last=points)]
    ids = [
        make(
            storage,
            Script(number=n, began=BASE + n, attempts=attempts, checkpoint_every=10**9),
        ).id
        for n in range(OVERLAID)
    ]
    place = f"#/run/{ids[0]}?metrics=train/loss&with={','.join(ids[1:])}"
    with serving(browser, folder) as server:
        cold = took(browser, place, DRAWN.format(OVERLAID))
        begin = time.perf_counter()
        browser.until(WHOLE.format(OVERLAID * points))
        rest = time.perf_counter() - begin
        warm = statistics.median(took(browser, place, DRAWN.format(OVERLAID)) for _ in range(5))
        smooth = took(browser, f"{place}&smooth=0.95", DRAWN.format(OVERLAID))
        memory = server.memory_info().rss / 2**20
    name = f"a chart of {OVERLAID} runs of {points:,} points"
    return [
        row(f"{name}, first time", cold, 1.0),
        row("  until all points are read", rest),
        row(f"{name}, again", warm, 1.0),
        row(f"{name}, smoothed", smooth, 1.0),
        {**row("  memory of the server", memory), "unit": "MiB"},
    ]


def sweeping(browser: Browser, folder: Path, trials: int) -> list[Row]:
    """To the leaderboard and all pictures; what the value hangs on comes after them."""
    make_sweep(open_storage(folder), trials=trials)
    shown = (
        "document.querySelector('.sweep-curves')?.dataset.ready === 'yes'"
        f" && document.querySelectorAll('.parallel .line').length === {trials}"
    )
    judged = "document.querySelector('.importance')?.dataset.ready === 'yes'"
    with serving(browser, folder):
        cold = took(browser, f"#/run/{SWEEP}", shown)
        begin = time.perf_counter()
        browser.until(judged)
        importance = time.perf_counter() - begin
        warm = statistics.median(took(browser, f"#/run/{SWEEP}", shown) for _ in range(5))
    name = f"a sweep of {trials} trials"
    return [
        row(f"{name}, first time, as the first page of all", cold),
        row("  until it is said what the value hangs on", importance),
        row(f"{name}, again", warm, 1.0),
    ]


@contextmanager
def serving(browser: Browser, folder: Path) -> Iterator[psutil.Process]:
    """The real command, in a process of its own."""
    command = [sys.executable, "-m", "orchestrator", "dashboard", "--no-browser", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--storage", str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            told = (line.strip() for line in process.stdout)
            browser.base = next(line for line in told if line.startswith("http")).split("/#")[0]
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def took(browser: Browser, place: str, drawn: str) -> float:
    browser.driver.get("about:blank")
    begin = time.perf_counter()
    browser.driver.get(f"{browser.base}/{place}")
    browser.until(drawn)
    return time.perf_counter() - begin


def row(figure: str, value: float, bound: float | None = None) -> Row:
    bounds = {"bound": f"under {bound:g}"} if bound is not None else {}
    return {"figure": figure, "value": value, "unit": "s", **bounds}


if __name__ == "__main__":
    main()
