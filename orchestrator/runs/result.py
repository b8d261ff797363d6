"""What a run came to, in numbers: result.json, written once, when everything else is there.

A fine-tune writes one, and each of its seeds; `status`, pipelines and sweeps read it.
"""

from __future__ import annotations

import json
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.storage import Storage

SCHEMA = "orchestrator.result/1"


def write_result(run: Storage, result: dict[str, Any]) -> None:
    document = {"schema": SCHEMA, **result}
    run.write(layout.RESULT, json.dumps(document, indent=1, allow_nan=False).encode())


def read_result(run: Storage) -> dict[str, Any] | None:
    """None where the run has not come to its end."""
    if not run.exists(layout.RESULT):
        return None
    document: dict[str, Any] = json.loads(run.read(layout.RESULT))
    return document
