"""How far W&B is: one small file in the run's folder, for the verb `wandb` and for dashboards."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum

from orchestrator.errors import NotFoundError
from orchestrator.runs.storage import Storage
from orchestrator.settings.secrets import mask
from orchestrator.tracking.wandb import places

SCHEMA = "orchestrator.wandb/1"
LINKED = "wandb_linked"  # the event that says where W&B shows the run


class Standing(StrEnum):
    FOLLOWING = "following"
    COMPLETE = "complete"  # all rows, asked of W&B (offline: written)
    DIFFERENT = "different"  # W&B has rows that are not the run's
    BEHIND = "behind"  # ended, with rows that did not arrive


@dataclass(frozen=True, kw_only=True)
class Report:
    standing: Standing
    mode: str
    run: str  # W&B's id
    url: str | None = None
    rows: int = 0  # of the run so far
    arrived: int = 0  # of these, in W&B
    reason: str = ""
    time: float = 0.0


def write_report(run: Storage, report: Report) -> None:
    plain = {"schema": SCHEMA, **asdict(report), "time": round(time.time(), 3)}
    run.write(places.REPORT, mask(json.dumps(plain)).encode())


def read_report(run: Storage) -> Report | None:
    """None where there is none, or none that can be read."""
    try:
        plain = json.loads(run.read(places.REPORT))
        plain.pop("schema")
        return Report(**{**plain, "standing": Standing(plain["standing"])})
    except (NotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None
