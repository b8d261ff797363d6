"""Search spaces: what can be read of them, what their points are, what is wrong with others."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.settings.space import Point, Space, read_space

TRANSFER = {
    "optim": {"lr": {"log_uniform": [1e-5, "1e-3"]}},
    "transfer": {
        "rank": {"choice": [4, 8], "when": {"transfer.way": "adapters"}},
        "way": {"choice": ["full", "last", "adapters"]},
        "layers": {"integer": [1, 3], "when": {"transfer": {"way": ["last"]}}},
        "label_smoothing": {"quantised": [0, 0.3, 0.1]},
    },
}


def readable(plain: object) -> Space:
    space, findings = read_space(plain)
    assert findings == []
    return space


@given(seed=st.integers(0, 10**6))
def test_every_point_has_what_applies_and_nothing_else(seed: int) -> None:
    source = random.Random(seed)
    space = readable(TRANSFER)
    point = space.at(source.random() for _ in itertools.count())
    assert 1e-5 <= point["optim.lr"] <= 1e-3
    assert ("transfer.rank" in point) is (point["transfer.way"] == "adapters")
    assert ("transfer.layers" in point) is (point["transfer.way"] == "last")
    assert point["transfer.label_smoothing"] in (0.0, 0.1, 0.2, 0.3)
    for dimension in space.dimensions:
        if dimension.key in point and dimension.options is not None:
            assert point[dimension.key] in dimension.options


@given(low=st.floats(1e-6, 1e-2), factor=st.floats(1.1, 1e4), share=st.floats(0, 0.999))
def test_a_logarithm_is_drawn_evenly(low: float, factor: float, share: float) -> None:
    (dimension,) = readable({"optim": {"lr": {"log_uniform": [low, low * factor]}}}).dimensions
    assert dimension.at(share) == pytest.approx(low * factor**share)


def test_a_grid_has_every_point_once_and_no_value_that_does_not_apply() -> None:
    finite = TRANSFER | {"optim": {"lr": {"choice": [1e-5, 1e-4]}}}
    space = readable(finite)
    points = list(space.grid())
    assert space.size == len(points) == 2 * 4 * (1 + 3 + 2)
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert readable(TRANSFER).size is None


def test_corners_reach_every_edge() -> None:
    seen: dict[str, set[Any]] = {}
    for point in readable(TRANSFER).corners(most=256):
        for key, value in point.items():
            seen.setdefault(key, set()).add(value)
    assert seen["optim.lr"] == {1e-5, 1e-3}
    assert seen["transfer.rank"] == {4, 8}
    assert seen["transfer.layers"] == {1, 3}
    assert seen["transfer.label_smoothing"] == {0.0, 0.3}


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, "nothing to search"),
        ({"optim": {"lr": 1e-4}}, "must be a mapping"),
        ({"optim": {"lr": {"uniform": [1e-4]}}}, "[low, high]"),
        ({"optim": {"lr": {"uniform": [2, 1]}}}, "smaller number"),
        ({"optim": {"lr": {"log_uniform": [0, 1]}}}, "above 0"),
        ({"batch": {"examples": {"integer": [1.5, 3]}}}, "whole numbers"),
        ({"batch": {"examples": {"quantised": [1, 2, 5]}}}, "step that does not fit"),
        ({"batch": {"examples": {"choice": [1, 1]}}}, "twice"),
        ({"batch": {"examples": {"choice": [1], "uniform": [1, 2]}}}, "one distribution"),
        ({"a": {"choice": [1], "when": {"b": 1}}}, "not a dimension"),
        ({"a": {"choice": [1], "when": {"b": 3}}, "b": {"choice": [1, 2]}}, "never so"),
        ({"a": {"choice": [1], "when": {"b": 3}}, "b": {"uniform": [1, 2]}}, "no choices"),
        (
            {"a": {"choice": [1], "when": {"b": 1}}, "b": {"choice": [1], "when": {"a": 1}}},
            "wait for each other",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(plain: object, said: str) -> None:
    _, findings = read_space(plain)
    assert any(said in str(finding) for finding in findings), findings


def test_null_takes_a_distribution_out() -> None:
    space = readable({"optim": {"lr": {"uniform": None, "choice": [1e-5]}, "eps": None}})
    points: list[Point] = list(space.grid())
    assert points == [{"optim.lr": 1e-5}]
