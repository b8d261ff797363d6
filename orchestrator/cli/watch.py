"""`status RUN --watch`: loss and throughput drawn in the terminal while a run goes on.

On a terminal the picture is drawn over itself; elsewhere each change is a line.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from itertools import pairwise

import numpy as np
from rich.console import Group
from rich.live import Live
from rich.text import Text

from orchestrator.api import Run
from orchestrator.cli.screen import ago, coloured, console
from orchestrator.runs.state import Status
from orchestrator.settings.units import format_count
from orchestrator.tracking.progress import Progress, read_progress
from orchestrator.tracking.table import Columns, Floats, MetricTable

_EVERY_S = 1.0
_SHOWN = {"train/loss": "loss", "train/tokens_per_s": "tokens/s"}
_HEIGHT = 8
# Dots of a braille letter by row (from the top) and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


def watch(run: Run, *, every_s: float = _EVERY_S) -> Status:
    """Until the run is over, or Ctrl-C, which ends the looking only."""
    table = MetricTable(run.folder.storage)
    told = ""
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            status = run.status()
            table.read_new()
            columns = table.columns([name for name in _SHOWN if name in table.names])
            if sys.stdout.isatty():
                progress = read_progress(run.folder.storage)
                live.update(_picture(run, status, progress, columns), refresh=True)
            elif (line := _line(status, columns)) != told:
                told = line
                print(line, flush=True)
            if status.state.is_over:
                return status
            time.sleep(every_s)
    return run.status()


def _picture(run: Run, status: Status, progress: Progress | None, columns: Columns) -> Group:
    head = Text.assemble((run.id, "bold"), "  ", coloured(status.state), f"  {ago(status.created)}")
    if progress is not None and progress.total:
        head.append(f"  {progress.stage} {progress.done:g}/{progress.total:g} {progress.unit}")
    parts: list[Text] = [head]
    for name, values in columns.values.items():
        there = values[~np.isnan(values)]
        if len(there):
            parts.append(Text(f"\n{_SHOWN[name]} {_amount(float(there[-1]))}", style="bold"))
            parts += _chart(there, max(20, min(100, console.width - 12)))
    if len(parts) == 1:
        parts.append(Text("It has written no loss yet.", style="dim"))
    return Group(*parts)


def _chart(values: Floats, width: int) -> list[Text]:
    lines = draw(values, width=width, height=_HEIGHT)
    ends = {0: _amount(float(values.max())), _HEIGHT - 1: _amount(float(values.min()))}
    return [
        Text.assemble((f"{ends.get(row, ''):>9} ", "dim"), (line, "cyan"))
        for row, line in enumerate(lines)
    ]


def draw(values: Floats, *, width: int, height: int) -> list[str]:
    """A curve of braille dots, two to a letter's width and four to its height.

    Each column of dots spans all that its values do, so that a spike of one step is seen.
    """
    num_columns, num_rows = 2 * width, 4 * height
    low, high = float(values.min()), float(values.max())
    # From 0 at the bottom; what never changes lies in the middle.
    scale = (num_rows - 1) / (high - low) if high > low else 0.0
    heights = np.rint((values - low) * scale).astype(int) if scale else np.full(len(values), 1)
    letters = np.zeros((height, width), int)
    bounds = np.linspace(0, len(values), min(num_columns, len(values)) + 1).astype(int)
    for number, (begin, end) in enumerate(pairwise(bounds)):
        column = number if len(values) >= num_columns else number * num_columns // len(values)
        part = heights[begin:end]
        for dot in range(int(part.min()), int(part.max()) + 1):
            row = num_rows - 1 - dot
            letters[row // 4, column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(chr(0x2800 + letter) for letter in line) for line in letters]


def _line(status: Status, columns: Columns) -> str:
    figures = []
    for name, values in columns.values.items():
        there = np.flatnonzero(~np.isnan(values))
        if len(there):
            figures.append(f"{_SHOWN[name]} {_amount(float(values[there[-1]]))}")
    step = [f"step {int(columns.step[-1])}"] if len(columns) else []
    return " | ".join([str(status.state), *step, *figures])


def _amount(value: float) -> str:
    return format_count(float(f"{value:.4g}"))
