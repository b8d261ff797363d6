"""The driver's forwarder: started with the run, ended after it, and what people are told of it.

Nothing here is the run's: whatever goes wrong with W&B is an event and a line (law 13).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from orchestrator.errors import OrchestratorError
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.settings.secrets import mask
from orchestrator.settings.tracking import Tracking
from orchestrator.tracking.wandb.forwarder import Forwarder, start_forwarder
from orchestrator.tracking.wandb.report import LINKED, Report, read_report

_GRACE_S = 15.0  # for the last rows, when the run is over


class Showing:
    def __init__(self, run: RunFolder, echo: Callable[[str], None], *, since: int) -> None:
        self._run = run
        self._echo = echo
        self._since = since  # the first attempt of this driver
        self._forwarder: Forwarder | None = None
        self._told = ""
        self._began = time.time()

    def begin(self, tracking: Tracking) -> None:
        try:
            self._forwarder = start_forwarder(self._run.uri, tracking)
        except (OSError, RuntimeError) as err:  # no thread, no memory
            self._tell_behind(f"The forwarder did not start: {err}")

    def hear(self, event: Event) -> None:
        if event.kind == LINKED and event.attempt >= self._since:
            self._tell_url(str(event.fields.get("url")))

    def end(self, *, is_ours: bool) -> None:
        """A run that another driver has is shown by that one."""
        if self._forwarder is None:
            return
        is_complete = False
        with suppress(KeyboardInterrupt):  # nobody waits any more; it goes on by itself
            is_complete = self._forwarder.end(_GRACE_S if is_ours else 0.0)
        if not is_ours:
            return
        report = self._report()
        if report and report.url:
            self._tell_url(report.url)
        if not is_complete:
            has = f"W&B has {report.arrived:,} of {report.rows:,} rows. " if report else ""
            self._tell_behind(has + (report.reason if report else ""))

    def _report(self) -> Report | None:
        """None where no forwarder of ours came as far as that."""
        with suppress(OrchestratorError):
            report = read_report(self._run.storage)
            return report if report and report.time >= self._began else None
        return None

    def _tell_url(self, url: str) -> None:
        if url != self._told:
            self._told = url
            self._say(f"W&B: {url}")

    def _tell_behind(self, why: str) -> None:
        why = mask(why.strip()) or f"W&B did not take everything in {_GRACE_S:g} s."
        self._say(f"{why}\nTo send what is missing: orchestrator wandb sync {self._run.id}")
        with suppress(OrchestratorError):
            self._run.note("wandb_behind", attempt=self._since, reason=why)

    def _say(self, text: str) -> None:
        with suppress(OSError, ValueError):  # an output that is closed by now
            self._echo(text)
