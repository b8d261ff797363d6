"""What a Ray head says of its nodes, as values; fields that are not there are no mistake."""

from __future__ import annotations

from typing import Any

from orchestrator.cluster.load import read_load


def node(name: str, **raylet: Any) -> dict[str, Any]:
    """As Ray 2.60 answers `/nodes?view=summary`, without what nobody reads."""
    return {
        "hostname": name,
        "ip": "10.0.0.7",
        "cpu": 37.5,
        "mem": [1000, 400, 60.0, 600],
        "gpus": [
            {"name": "H100", "utilizationGpu": 91, "memoryUsed": 1024, "memoryTotal": 81920},
        ],
        "raylet": {
            "nodeId": "6693db25",
            "state": "ALIVE",
            "isHeadNode": False,
            "resourcesTotal": {"CPU": 8.0, "GPU": 1.0, "node:10.0.0.7": 1.0},
            **raylet,
        },
    }


def test_nodes_are_told_the_head_first_and_dead_ones_last() -> None:
    nodes = [node("b", state="DEAD"), node("c"), node("a"), node("z", isHeadNode=True)]
    load = read_load("2.60.0", nodes, {})
    assert [each.name for each in load.nodes] == ["z", "a", "c", "b"]
    assert [each.is_alive for each in load.nodes] == [True, True, True, False]


def test_what_is_in_use_is_said_where_ray_says_it() -> None:
    usage = {"CPU": [3.0, 8.0], "memory": [0.0, 9.0], "node:10.0.0.7": [0.0, 1.0]}
    report = {"usage": usage, "usageByNode": {"6693db25": {"CPU": [3.0, 8.0]}}}
    status = {"clusterStatus": {"loadMetricsReport": report}}
    load = read_load("2.60.0", [node("a")], status)
    assert load.in_use == {"CPU": 3.0, "memory": 0.0}
    (found,) = load.nodes
    assert (found.resources, found.in_use) == ({"CPU": 8.0, "GPU": 1.0}, {"CPU": 3.0})
    assert (found.cpu_percent, found.memory_used_bytes, found.memory_bytes) == (37.5, 600, 1000)
    (gpu,) = found.gpus
    assert (gpu.name, gpu.percent, gpu.memory_bytes) == ("H100", 91, 81920 * 2**20)


def test_a_node_that_says_nothing_of_itself_is_a_node() -> None:
    load = read_load("2.60.0", [{"raylet": {"nodeId": "6693db2569fa", "state": "DEAD"}}], {})
    assert (load.nodes[0].name, load.nodes[0].memory_bytes, load.in_use) == ("6693db25", 0, {})
