"""The driver's own entry: what Ray Jobs starts on the cluster. People use run and submit."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cluster.driver import Drive
from orchestrator.cluster.driver import drive as drive_run
from orchestrator.cluster.place import Place
from orchestrator.runs.find import open_run

app = typer.Typer()


@app.command(hidden=True)
def drive(uri: str, attempt: Annotated[int, typer.Option("--attempt")]) -> int:
    """Drive the run at URI, from that attempt on, on the cluster whose job this is."""
    task = Drive(
        run=open_run(uri),
        attempt=attempt,
        place=Place.CLUSTER,
        code_dir=Path.cwd(),
        echo=functools.partial(print, flush=True),
    )
    return drive_run(task).exit_code


@app.callback()
def _several() -> None:
    """Typer makes a group of an app with a callback, and every module here is a group."""
