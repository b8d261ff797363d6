"""How busy a cluster is: what Ray has given away, and what each node's own agent measures.

From what a Ray head answers over HTTP; fields that a version does not have are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MIB = 2**20
_RESOURCES = ("CPU", "GPU", "memory")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    percent: float
    memory_used_bytes: float
    memory_bytes: float


@dataclass(frozen=True, kw_only=True)
class Node:
    name: str
    address: str
    is_head: bool
    is_alive: bool
    resources: dict[str, float]  # what Ray may give away
    in_use: dict[str, float]  # of that, what it has given; empty while it does not say
    cpu_percent: float
    memory_used_bytes: float
    memory_bytes: float
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True, kw_only=True)
class Load:
    ray_version: str
    in_use: dict[str, float]  # given away; empty in the first seconds, and where nobody tells
    nodes: tuple[Node, ...]  # the head first, dead ones last


def read_load(
    ray_version: str, nodes: Sequence[Mapping[str, Any]], status: Mapping[str, Any]
) -> Load:
    """Of the answers to `/nodes?view=summary` and `/api/cluster_status`."""
    report = (status.get("clusterStatus") or {}).get("loadMetricsReport") or {}
    by_node = report.get("usageByNode") or {}
    found = [_node(plain, by_node.get(plain["raylet"]["nodeId"]) or {}) for plain in nodes]
    found.sort(key=lambda node: (not node.is_alive, not node.is_head, node.name))
    return Load(
        ray_version=ray_version, in_use=_given(report.get("usage") or {}), nodes=tuple(found)
    )


def _given(usage: Mapping[str, Any]) -> dict[str, float]:
    """Of pairs: what is used, and what there is."""
    return {name: float(usage[name][0]) for name in _RESOURCES if name in usage}


def _node(plain: Mapping[str, Any], usage: Mapping[str, Any]) -> Node:
    raylet = plain["raylet"]
    total, _, _, used = plain.get("mem") or (0, 0, 0, 0)
    given = raylet.get("resourcesTotal") or {}
    return Node(
        name=str(plain.get("hostname") or raylet.get("nodeName") or raylet["nodeId"][:8]),
        address=str(plain.get("ip") or raylet.get("nodeManagerAddress") or ""),
        is_head=bool(raylet.get("isHeadNode")),
        is_alive=raylet.get("state") == "ALIVE",
        resources={name: float(given[name]) for name in _RESOURCES if name in given},
        in_use=_given(usage),
        cpu_percent=float(plain.get("cpu") or 0.0),
        memory_used_bytes=float(used),
        memory_bytes=float(total),
        gpus=tuple(_gpu(each) for each in plain.get("gpus") or ()),
    )


def _gpu(plain: Mapping[str, Any]) -> Gpu:
    return Gpu(
        name=str(plain.get("name", "")),
        percent=float(plain.get("utilizationGpu") or 0.0),
        memory_used_bytes=float(plain.get("memoryUsed") or 0.0) * _MIB,
        memory_bytes=float(plain.get("memoryTotal") or 0.0) * _MIB,
    )
