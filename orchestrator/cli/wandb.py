"""wandb sync, wandb status: a run in W&B, made or completed from its folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from orchestrator.cli.given import Json, RunName, Storage, find
from orchestrator.cli.screen import console, footer, show_json, table
from orchestrator.errors import RequestError
from orchestrator.settings.build import to_plain
from orchestrator.settings.units import Unit, parse
from orchestrator.tracking.wandb.report import Report, Standing
from orchestrator.tracking.wandb.sync import how_far
from orchestrator.tracking.wandb.sync import sync as sync_run

app = typer.Typer()
verbs = typer.Typer(help="A run in W&B: sync, status.", no_args_is_help=True)
app.add_typer(verbs, name="wandb")


@verbs.command()
def sync(
    run: RunName,
    storage: Storage = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Instead of the job's tracking.project.")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long W&B may take with the last rows: 30, 5m.")
    ] = "5m",
    as_json: Json = False,
) -> int:
    """Send what W&B does not have of a run that is over, and check there that all arrived."""
    found = find(run, storage)
    try:
        timeout_s = parse(timeout, Unit.SECONDS)
    except ValueError as err:
        raise RequestError(f"--timeout={timeout} {err}.") from err
    tracking = found.job().tracking
    if project is not None:
        tracking = replace(tracking, project=project)
    report = sync_run(found.folder, tracking, timeout_s=timeout_s)
    if as_json:
        show_json("wandb.sync", **to_plain(report))
    elif report.url is None:
        console.print(f"{found.id} has measured nothing, so there is no run of it in W&B.")
    else:
        console.print(f"{report.arrived:,} rows are in W&B as they are here: {report.url}")
    return 0


@verbs.command()
def status(run: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """How much of a run is in W&B, as its forwarder said last. Asks nobody."""
    found = find(run, storage)
    report = how_far(found.folder)
    if as_json:
        show_json("wandb.status", run=found.id, report=to_plain(report))
        return 0
    if report is None:
        console.print(f"{found.id} was not followed to W&B.")
        footer(f"orchestrator wandb sync {found.id}")
        return 0
    rows = table("", "")
    for name, value in _described(report).items():
        if value:
            rows.add_row(name, value)
    console.print(rows)
    if report.standing is Standing.BEHIND or report.mode == "offline":
        footer(f"orchestrator wandb sync {found.id}")
    return 0


def _described(report: Report) -> dict[str, str]:
    return {
        "standing": str(report.standing),
        "mode": report.mode,
        "rows": f"{report.arrived:,} of {report.rows:,}",
        "url": report.url or "",
        "reason": report.reason,
    }
