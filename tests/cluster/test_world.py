"""How many workers fit, and when more are worth a new start."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.world import Growth, placeable

amounts = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0, 2.0, 3.0, 8.0])
nodes = st.lists(st.fixed_dictionaries({"CPU": amounts, "GPU": amounts}), max_size=4)
workers = st.fixed_dictionaries(
    {"CPU": st.sampled_from([0.1, 0.5, 1.0, 3.0])},
    optional={"GPU": st.sampled_from([0.1, 0.5, 1.0, 2.0])},
)


def _placed_one_by_one(free: list[dict[str, float]], worker: dict[str, float]) -> int:
    """In parts of 10,000, as Ray counts: whoever fits somewhere is put there."""
    left = [{name: round(amount * 10_000) for name, amount in node.items()} for node in free]
    asked = {name: round(amount * 10_000) for name, amount in worker.items()}
    count = 0
    for node in left:
        while all(node[name] >= amount for name, amount in asked.items()):
            for name, amount in asked.items():
                node[name] -= amount
            count += 1
    return count


@given(nodes, workers)
def test_as_many_are_placeable_as_can_be_placed_one_by_one(
    free: list[dict[str, float]], worker: dict[str, float]
) -> None:
    assert placeable(free, worker) == _placed_one_by_one(free, worker)


def test_a_worker_is_not_divided_between_nodes() -> None:
    assert placeable([{"GPU": 2.0, "CPU": 8.0}] * 3, {"GPU": 4.0, "CPU": 1.0}) == 0
    assert placeable([{"GPU": 4.0, "CPU": 8.0}] * 3, {"GPU": 4.0, "CPU": 1.0}) == 3


def test_parts_of_a_gpu_are_not_lost_to_rounding() -> None:
    assert 0.3 / 0.1 < 3
    assert placeable([{"CPU": 3.0, "GPU": 0.3}], {"CPU": 0.5, "GPU": 0.1}) == 3


def test_what_a_node_does_not_have_or_has_lent_out_places_nobody() -> None:
    assert placeable([{"CPU": 8.0}, {"CPU": -1.0, "GPU": 1.0}, {}], {"CPU": 1.0, "GPU": 1.0}) == 0
    assert placeable([], {"CPU": 1.0}) == 0


@pytest.mark.parametrize(("settle_s", "fits"), [*product((0.0, 5.0), (1, 3))])
def test_room_that_stays_is_worth_growing_into(settle_s: float, fits: int) -> None:
    growth = Growth(settle_s)
    said = [growth.look(fits, now) for now in (10.0, 12.0, 14.0, 16.0)]
    assert said == [fits if now >= settle_s else 0 for now in (0.0, 2.0, 4.0, 6.0)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_only_what_fitted_all_the_while_counts(seen: list[int]) -> None:
    growth, settle = Growth(4.0), 4
    for now in range(len(seen)):
        said = growth.look(seen[now], float(now))
        if said:
            assert 0 < said <= min(seen[max(0, now - settle) : now + 1])
        else:
            assert now < settle or 0 in seen[now - settle : now + 1]
