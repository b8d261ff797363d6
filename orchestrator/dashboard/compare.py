"""What runs differ in: settings key by key, and the first step at which a metric differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from orchestrator.settings.build import flatten
from orchestrator.tracking.table import Columns

# These measure the machine and differ between any two runs.
_OF_THE_MACHINE = (
    *("train/step_s", "train/tokens_per_s", "train/mfu", "train/data_wait", "train/goodput"),
    *("train/checkpoint_stall", "train/memory_bytes"),
)


def is_of_the_machine(name: str) -> bool:
    return name in _OF_THE_MACHINE or name.startswith(("system/", "rank/"))


def differing(trees: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of dotted keys with each run's value; null where a run has no such key."""
    flat = [flatten(dict(tree)) for tree in trees]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    rows = [{"key": key, "values": [one.get(key) for one in flat]} for key in keys]
    return [row for row in rows if any(value != row["values"][0] for value in row["values"])]


def first_difference(one: Columns, other: Columns, metric: str) -> dict[str, Any] | None:
    """None where all steps that both have are the same; the steps in common are counted."""
    step_a, value_a = _told(one, metric)
    step_b, value_b = _told(other, metric)
    steps, in_a, in_b = np.intersect1d(step_a, step_b, return_indices=True)
    differs = np.flatnonzero(value_a[in_a] != value_b[in_b])
    if not len(differs):
        return None
    first = int(differs[0])
    return {
        "metric": metric,
        "step": int(steps[first]),
        "values": [float(value_a[in_a][first]), float(value_b[in_b][first])],
        "steps": len(steps),
        "differ": len(differs),
    }


def _told(columns: Columns, metric: str) -> tuple[Any, Any]:
    there = np.flatnonzero(~np.isnan(columns.values[metric]))
    return columns.step[there], columns.values[metric][there]
