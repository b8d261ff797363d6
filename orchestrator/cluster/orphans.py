"""Room that nobody can use any more: placement groups of this job whose actor is dead.

Ray ends what a dead actor had started and keeps the room that was set aside for it until the whole
job is over. Whoever looks for room (world.py) lets go of it first.
"""

from __future__ import annotations

from typing import Any

import ray
from ray._private import state as ray_state  # the public interface does not tell who made a group
from ray._raylet import ActorID, PlacementGroupID
from ray.core.generated import gcs_pb2
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup


def let_go_of_orphans() -> None:
    job = bytes.fromhex(ray.get_runtime_context().get_job_id())
    nobody = ActorID.nil().binary()  # of a group that a driver made, which counts as dead too
    table: Any = gcs_pb2.PlacementGroupTableData  # type: ignore[attr-defined]
    for data in ray_state.state._connect_and_get_accessor().get_placement_group_table():
        group = table.FromString(data)
        is_there = group.state != table.REMOVED
        is_orphan = group.creator_actor_dead and group.creator_actor_id not in (b"", nobody)
        if group.creator_job_id == job and is_there and is_orphan:
            remove_placement_group(PlacementGroup(PlacementGroupID(group.placement_group_id)))
