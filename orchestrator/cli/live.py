"""A run in the foreground: its lines scroll, one line below them says how far it is."""

from __future__ import annotations

import sys
import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from orchestrator.api import Run
from orchestrator.cluster.output import for_people
from orchestrator.errors import OrchestratorError
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
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeElapsedColumn(),
                console=Console(highlight=False),
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
        task = self._bar.add_task(run.id, total=None, figures="")
        while not self._over.wait(_EVERY_S):
            try:
                progress = read_progress(run.folder.storage)
            except (OrchestratorError, ValueError):
                continue  # it will be there the next time
            if progress is None:
                continue
            figures = (
                f"{progress.done:g}/{progress.total:g} {progress.unit}" if progress.total else ""
            )
            self._bar.update(
                task,
                description=f"{run.id}  {progress.stage}",
                completed=progress.done,
                total=progress.total,
                figures=figures,
            )
