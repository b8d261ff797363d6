"""Where a driver runs: here, in the foreground, or on a cluster as a Ray job."""

from __future__ import annotations

from enum import Enum


class Place(Enum):
    HERE = "here"
    CLUSTER = "cluster"
