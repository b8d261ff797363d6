"""Send a run that is over, and look in W&B whether every row of it arrived. For the verb `wandb`.

The run is made from its folder, so it is the same whether W&B had none of it, half or all, and
whether it was followed online, offline or not at all.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.lease import read_holder
from orchestrator.settings.tracking import Mode, Tracking
from orchestrator.tracking.wandb import places
from orchestrator.tracking.wandb.forwarder import BUSY, COMPLETE, REFUSED, forward_command
from orchestrator.tracking.wandb.report import Report, Standing, read_report


def sync(run: RunFolder, tracking: Tracking, *, timeout_s: float) -> Report:
    """The report of a run that is all there. Raises when something of it is not."""
    status = run.status(patient=True)
    if not status.state.is_over:
        raise RequestError(
            f"{run.id} is {status.state}: its own forwarder sends it; sync is for what is over.",
            hint=f"orchestrator wandb status {run.id}",
        )
    online = replace(tracking, mode=Mode.ONLINE)
    done = subprocess.run(
        forward_command(run.uri, online, "--once", "--finish-s", f"{timeout_s:.0f}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    report = read_report(run.storage)
    if done.returncode == COMPLETE and report is not None:
        return report
    if done.returncode == BUSY:
        raise OrchestratorError(
            f"The forwarder of {run.id} still sends its last rows: {done.stderr.strip()}",
            hint=f"orchestrator wandb status {run.id}, and in a minute: wandb sync {run.id}",
        )
    said = done.stderr.strip().splitlines()[-2:]
    reason = report.reason if report is not None and report.reason else "\n".join(said)
    kind = RequestError if done.returncode == REFUSED else OrchestratorError
    raise kind(f"{run.id} is not all in W&B. {reason}", hint=f"orchestrator wandb sync {run.id}")


def how_far(run: RunFolder) -> Report | None:
    """The last report; one of a forwarder that was killed says `following` for ever."""
    report = read_report(run.storage)
    if report is None or report.standing is not Standing.FOLLOWING:
        return report
    holder = read_holder(run.storage.child(places.FOLDER))
    why_dead = holder.why_dead() if holder is not None else None
    if why_dead is None:
        return report
    return replace(report, standing=Standing.BEHIND, reason="The forwarder did not end by itself.")
