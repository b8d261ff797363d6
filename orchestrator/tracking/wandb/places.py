"""Names below `<run>/wandb/`, and where a forwarder keeps what it needs on its own node only."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from orchestrator.settings.home import state_home

FOLDER = "wandb"
ORDER = f"{FOLDER}/order"  # in which order lines of metrics became rows
REPORT = f"{FOLDER}/report.json"
DELIVERED = f"{FOLDER}/delivered.json"  # references that surely arrived

_PREFIX, _NAMED = "orchestrator-wandb-", "temporary"
_made: list[str] = []  # by this process


def scratch(run_id: str) -> Path:
    """Private to the user, and the same for each forwarder of a run: the next one clears it."""
    return state_home() / "wandb" / run_id


def temporary(scratch: Path) -> str:
    """For sockets and half-made files: below the system's, as the path of a socket must be short.
    Its name is kept, for whoever comes after a forwarder that was killed."""
    made = tempfile.mkdtemp(prefix=_PREFIX)
    _made.append(made)
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / _NAMED).write_text(made)
    return made


def leave() -> None:
    """What wandb would clear in its farewell, which nobody waits for."""
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)


def clear(scratch: Path) -> None:
    """What the last forwarder of the run left on this node."""
    with suppress(OSError):
        temporary = Path((scratch / _NAMED).read_text())
        if temporary.name.startswith(_PREFIX):
            shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)
