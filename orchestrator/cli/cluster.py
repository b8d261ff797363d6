"""cluster up, down, status: a persistent Ray on this machine, for `submit`."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.given import Json
from orchestrator.cli.screen import ago, console, footer, lead, show_json
from orchestrator.cluster import local
from orchestrator.errors import ClusterError, NotFoundError
from orchestrator.settings.units import format_bytes

app = typer.Typer()
verbs = typer.Typer(help="A persistent Ray on this machine, for `submit`.", no_args_is_help=True)
app.add_typer(verbs, name="cluster")


@verbs.command()
def up(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The dashboard's; 0: any. Else 8265 if free."),
    ] = None,
    num_cpus: Annotated[int | None, typer.Option(min=0, help="CPUs to offer; else all.")] = None,
) -> int:
    """Start it: dashboard on loopback, token authentication on."""
    cluster = local.up(port=port, num_cpus=num_cpus, say=console.print)
    lead(cluster.address, f" is up: process {cluster.pid}, log {cluster.log}")
    console.print(f"Its token is in {cluster.token_file} (mode 600); this command line finds it.")
    footer(
        "orchestrator submit probe",
        "orchestrator cluster status",
        "orchestrator cluster down",
        f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={cluster.token_file} "
        f"ray job list --address {cluster.address}",
    )
    return 0


@verbs.command()
def down() -> int:
    """End it: its runs are stopped at a safe point, its processes ended, and no others."""
    cluster = local.find_local()
    if cluster is None:
        console.print("No local cluster is up.")
        return 0
    count = local.down(cluster, say=console.print)
    console.print(f"Down: {cluster.address}, {count} processes ended.")
    return 0


@verbs.command()
def status(as_json: Json = False) -> int:
    """Is it up, and what does it have?"""
    cluster = local.find_local()
    if cluster is None:
        if as_json:
            show_json("cluster.status", up=False)
            return 0
        raise NotFoundError("No local cluster is up.", hint="orchestrator cluster up")
    try:
        facts = cluster.http().facts()
    except ClusterError as err:
        raise ClusterError(
            f"The local cluster's process {cluster.pid} lives, but does not answer: {err.message}",
            hint=f"Look into {cluster.log}, or `orchestrator cluster down` and up again.",
        ) from err
    if as_json:
        show_json(
            "cluster.status",
            up=True,
            address=cluster.address,
            pid=cluster.pid,
            ray_version=facts.ray_version,
            nodes=facts.nodes,
            resources=facts.resources,
        )
        return 0
    has = facts.resources
    lead(
        cluster.address,
        f"  Ray {facts.ray_version}, {facts.nodes} node, "
        f"{has.get('CPU', 0):g} CPU, {has.get('GPU', 0):g} GPU, "
        f"{format_bytes(has.get('memory', 0))}; up since {ago(cluster.started)}",
    )
    return 0
