"""Names below `<run>/wandb/`, and where a forwarder keeps what it needs on its own node only."""

from __future__ import annotations

from pathlib import Path

from orchestrator.settings.home import state_home

FOLDER = "wandb"
ORDER = f"{FOLDER}/order"  # in which order lines of metrics became rows
REPORT = f"{FOLDER}/report.json"
DELIVERED = f"{FOLDER}/delivered.json"  # references that surely arrived


def scratch(run_id: str) -> Path:
    """Private to the user, and the same for each forwarder of a run: the next one clears it."""
    return state_home() / "wandb" / run_id
