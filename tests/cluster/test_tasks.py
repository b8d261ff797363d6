"""What a task asks Ray for."""

from __future__ import annotations

import pytest

from orchestrator.cluster.tasks import task_resources
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.evaluate import EvaluateJob


@pytest.mark.parametrize("gpus", [0, 0.5, 2])
def test_tasks_with_a_model_have_the_gpus_that_were_asked_for_and_others_none(gpus: float) -> None:
    cluster = Cluster(cpus_per_worker=3, gpus_per_worker=gpus, memory_per_worker=2**30)
    job = EvaluateJob(encoder="x", cluster=cluster)
    rest = {"num_cpus": 3, "memory": 2**30}
    assert task_resources(job, has_model=True) == {**rest, "num_gpus": gpus or None}
    assert task_resources(job, has_model=False) == {**rest, "num_gpus": None}


def test_a_model_goes_where_its_workers_have_room_for_it() -> None:
    assert Cluster(gpus_per_worker=0.5).device == "cuda"
    assert Cluster().device == "cpu", "a GPU that was not asked for is somebody else's"
