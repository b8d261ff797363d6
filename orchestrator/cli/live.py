"""A run in the foreground: its lines scroll, one line below them says how far it is."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from orchestrator.api import Run
from orchestrator.cluster.output import for_people
from orchestrator.errors import OrchestratorError
from orchestrator.settings.units import format_bytes
from orchestrator.tracking.progress import Progress as RunProgress
from orchestrator.tracking.progress import read_progress

_EVERY_S = 0.5


class Live:
    """On a terminal a spinner and, where the total is known, a bar; elsewhere plain lines only."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._out = sys.stderr if quiet else sys.stdout  # quiet: stdout is for one JSON document
        self._bar: Progress | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if sys.stdout.isatty() and not quiet:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                console=Console(markup=False, highlight=False),
                transient=True,
            )

    def __enter__(self) -> Live:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        told = for_people(line)
        if told is None:
            return
        if self._bar is not None:
            self._bar.console.print(told, markup=False, soft_wrap=True)
        else:
            print(told, file=self._out, flush=True)

    def follow(self, run: Run) -> None:
        if self._bar is None:
            print(f"run {run.id}", file=self._out)
            return
        self._thread = threading.Thread(target=self._watch, args=(run,), daemon=True)
        self._thread.start()

    def _watch(self, run: Run) -> None:
        assert self._bar is not None
        number = self._bar.add_task(run.id, total=None, figures="")
        task, stage = self._bar.tasks[0], ""
        while not self._over.wait(_EVERY_S):
            try:
                progress = read_progress(run.folder.storage)
            except (OrchestratorError, ValueError):
                continue  # it will be there the next time
            if progress is None:
                continue
            if progress.stage != stage:
                stage = progress.stage
                self._bar.reset(number, total=progress.total)  # its speed is its own
            self._bar.update(
                number,
                description=f"{run.id}  {stage}",
                completed=progress.done,
                total=progress.total,
                figures=figures(progress, task),
            )


def figures(progress: RunProgress, task: Task) -> str:
    """How much of how much, and how fast; the bar beside it says how long it will take."""
    if not progress.total:
        return ""
    if progress.unit != "bytes":
        return f"{progress.done:g}/{progress.total:g} {progress.unit}"
    speed = f"  {format_bytes(task.speed)}/s" if task.speed else ""
    return f"{format_bytes(progress.done)} of {format_bytes(progress.total)}{speed}"
