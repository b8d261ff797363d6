"""dashboard: the local page over all runs of a storage, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import webbrowser
from typing import Annotated

import typer

from orchestrator.cli.given import Storage
from orchestrator.cli.screen import console

app = typer.Typer()


@app.command()
def dashboard(
    storage: Storage = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one. Else 8270 if free.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Of a Ray cluster to show: http://<head>:8265."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address only.")
    ] = False,
) -> int:
    """A page in the browser over all runs: curves, logs, checkpoints, comparisons.

    It listens on this machine only. To look at a far one: ssh -L 8270:127.0.0.1:8270 HOST.
    """
    asyncio.run(_serve(storage, port, address, open_browser=not no_browser and sys.stdout.isatty()))
    return 0


async def _serve(
    storage: str | None, port: int | None, address: str | None, *, open_browser: bool
) -> None:
    from orchestrator.api import Orchestrator
    from orchestrator.dashboard.server import USUAL_PORT, Server
    from orchestrator.errors import RequestError

    server = Server(Orchestrator(storage), address=address)
    try:
        await server.start(USUAL_PORT if port is None else port)
    except RequestError:
        if port is not None:
            raise
        await server.start(0)
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    console.print(f"{server.pages.orchestrator.storage.uri}\n{server.url}", soft_wrap=True)
    console.print("Who has this address can stop and resume runs. Ctrl-C ends it.", style="dim")
    if open_browser:
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(server.url)
    try:
        await over.wait()
    finally:
        await server.stop()
