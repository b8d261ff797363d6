"""The folder of this machine's own state: its local cluster and token, its copies of corpora."""

from __future__ import annotations

import os
from pathlib import Path


def state_home() -> Path:
    return Path(os.environ.get("ORCHESTRATOR_HOME") or Path.home() / ".orchestrator").expanduser()
