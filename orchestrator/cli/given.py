"""Arguments that many verbs share, and the objects that they stand for."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.api import Orchestrator, Run

Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help="Where runs are kept: a path or URI (else ORCHESTRATOR_STORAGE, else ./runs).",
    ),
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Any unique part of a run's id, or @last.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The kind of job: prepare, probe …")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]…", help="Settings: cluster.num_workers=2 cluster=gpu_node"),
]


def find(part: str, storage: str | None) -> Run:
    return Orchestrator(storage).find(part)
