"""plan, run, submit, resume, fork: from a request to a run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.api import Orchestrator, Run
from orchestrator.api.made import next_commands
from orchestrator.cli.draw import draw_plan
from orchestrator.cli.given import Job, Json, Overrides, RunName, Storage, find
from orchestrator.cli.live import Live
from orchestrator.cli.screen import console, footer, lead, show_json
from orchestrator.cluster.place import Place
from orchestrator.errors import SettingsError
from orchestrator.runs.plan import Plan
from orchestrator.settings.pipeline import PipelineJob

app = typer.Typer()

Address = Annotated[
    str | None, typer.Option("--address", help="The cluster's dashboard URL, over cluster.address.")
]


@app.command()
def plan(
    job: Job,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    as_json: Json = False,
) -> int:
    """Check a job and show everything that would run. Starts nothing, leaves nothing."""
    made = Orchestrator(storage, address=address).plan(job, overrides or ())
    if as_json:
        print(json.dumps(made.to_plain(), default=str))
        return 2 if made.findings else 0
    _refuse(made)
    draw_plan(made)
    words = shlex.join([job, *(overrides or ())])
    footer(f"orchestrator run {words}", f"orchestrator submit {words}")
    return 0


@app.command()
def run(
    job: Job, overrides: Overrides = None, storage: Storage = None, as_json: Json = False
) -> int:
    """Run a job here, in the foreground, with a Ray of its own.

    Ctrl-C stops at the next safe point; a second one stops now.
    """
    orchestrator = Orchestrator(storage)
    made = orchestrator.plan(job, overrides or (), place=Place.HERE)
    _refuse(made)
    return _run_here(orchestrator, made, as_json=as_json)


@app.command()
def submit(
    job: Job,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    as_json: Json = False,
) -> int:
    """Send a job to the cluster. Returns when the cluster has accepted it."""
    orchestrator = Orchestrator(storage, address=address)
    made = orchestrator.plan(job, overrides or (), place=Place.CLUSTER)
    _refuse(made)
    if not as_json:
        draw_plan(made)
    submitted = orchestrator.submit(made)
    return _accepted(submitted, as_json=as_json)


@app.command()
def resume(
    run: RunName,
    storage: Storage = None,
    address: Address = None,
    here: Annotated[bool, typer.Option("--here", help="Here, in the foreground.")] = False,
    code: Annotated[
        str, typer.Option("--code", help="`run`: the code as submitted; `here`: this folder's.")
    ] = "run",
    as_json: Json = False,
) -> int:
    """Go on with a run that was stopped or failed, where it ran before, with the code it had."""
    if code not in ("run", "here"):
        raise typer.BadParameter(f"--code={code} is neither `run` nor `here`")
    found = find(run, storage)
    with Live(quiet=as_json) as live:
        live.follow(found)
        status = found.resume(
            place=Place.HERE if here else (Place.CLUSTER if address else None),
            address=address,
            code_from=Path.cwd() if code == "here" else None,
            say=live.say,
        )
    if status.place == Place.CLUSTER.value:
        return _accepted(found, as_json=as_json)
    return _told(found, as_json=as_json)


@app.command()
def fork(
    run: RunName,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    checkpoint: Annotated[
        int | None,
        typer.Option("--checkpoint", min=0, help="A step of the parent, 0: none; else its newest."),
    ] = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="To the cluster instead of here.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Start a new run: another run's settings with overrides on top, from a checkpoint of it."""
    orchestrator = Orchestrator(storage, address=address)
    place = Place.CLUSTER if submit or address else Place.HERE
    made = orchestrator.fork(
        orchestrator.find(run), overrides or (), checkpoint=checkpoint, place=place
    )
    _refuse(made)
    if place is Place.CLUSTER:
        return _accepted(orchestrator.submit(made), as_json=as_json)
    return _run_here(orchestrator, made, as_json=as_json)


def _run_here(orchestrator: Orchestrator, made: Plan, *, as_json: bool) -> int:
    with Live(quiet=as_json) as live:
        started = orchestrator.create(made)
        live.follow(started)
        started.drive_here(1, say=live.say)
    return _told(started, as_json=as_json)


def _refuse(made: Plan) -> None:
    if made.findings:
        raise SettingsError([str(finding) for finding in made.findings])


def _accepted(submitted: Run, *, as_json: bool) -> int:
    status = submitted.folder.status()
    if as_json:
        show_json(
            "submit",
            run=submitted.id,
            uri=submitted.folder.uri,
            address=status.address,
            submission_id=status.submission_id,
        )
        return 0
    console.print()
    lead(submitted.id, f" was accepted by {status.address}")
    part = submitted.id.rpartition("-")[2]
    footer(
        f"orchestrator logs -f {part}", f"orchestrator status {part}", f"orchestrator stop {part}"
    )
    return 0


def _told(ended: Run, *, as_json: bool = False) -> int:
    """How a run in the foreground ended, and what one would do next."""
    status = ended.status()
    if as_json:
        show_json(
            "run", run=ended.id, uri=ended.folder.uri, state=status.state, reason=status.reason
        )
        return status.exit_code
    console.print()
    lead(ended.id, f" {status.state}. Folder: {ended.folder.uri}")
    if status.reason:
        console.print(status.reason, markup=False)
    part = ended.id.rpartition("-")[2]
    if status.hint:
        footer(status.hint.replace(ended.id, part), f"orchestrator logs {part}")
    elif isinstance(job := ended.job(), PipelineJob):
        footer(*next_commands(ended.folder, job))
    else:
        footer(f"orchestrator status {part}", f"orchestrator metrics {part}", "orchestrator list")
    return status.exit_code
