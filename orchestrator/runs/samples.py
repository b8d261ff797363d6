"""Some of what a run was measured on, with what its model made of it: samples.json.

Rank 0 overwrites it whole at each measurement, so it is as new as the newest one; the dashboard
shows it. A sample is a text of pretraining with its masked words, or an example of a task.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.storage import Storage

SCHEMA = "orchestrator.samples/1"
MOST = 8

# `pieces` and `masked`, where [at, what stood there, [[word, chance], …]]; or `texts`, `label`,
# `answer` and `confidence`.
Sample = dict[str, Any]


def write_samples(run: Storage, *, step: int, samples: Sequence[Sample]) -> None:
    document = {"schema": SCHEMA, "step": step, "samples": list(samples[:MOST])}
    run.write(layout.SAMPLES, json.dumps(document, default=str).encode())


def read_samples(run: Storage) -> dict[str, Any]:
    """No samples where none were written, or by a version that nobody knows here."""
    nothing: dict[str, Any] = {"step": None, "samples": []}
    if not run.exists(layout.SAMPLES):
        return nothing
    text = run.read(layout.SAMPLES)
    document: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)  # no NaN
    return document if document.get("schema") == SCHEMA else nothing
