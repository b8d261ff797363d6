from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dashboard.charts import Wish, bucket_rows, curve, extremes, smoothed
from orchestrator.tracking.table import Columns

lengths, bounds = st.integers(0, 700), st.integers(16, 200)


def columns(num_rows: int, *, attempts: tuple[int, ...] = (1,), seed: int = 0) -> Columns:
    step = np.arange(1, num_rows + 1)
    y = np.random.default_rng(seed).normal(size=num_rows).round(4)
    attempt = np.sort(np.resize(np.array(attempts), num_rows))
    return Columns(
        step=step, attempt=attempt, time=100.0 + step, tokens=step * 64, values={"loss": y}
    )


def first_rows(whole: Columns, count: int) -> Columns:
    return Columns(
        step=whole.step[:count],
        attempt=whole.attempt[:count],
        time=whole.time[:count],
        tokens=whole.tokens[:count],
        values={name: value[:count] for name, value in whole.values.items()},
    )


@given(lengths, bounds)
def test_a_curve_is_short_and_has_every_extreme(num_rows: int, points: int) -> None:
    y = np.random.default_rng(num_rows).normal(size=num_rows)
    size = bucket_rows(num_rows, points)
    kept = extremes(y, size)
    assert len(kept) <= points + 3
    assert (np.diff(kept) > 0).all()
    for begin in range(0, num_rows, size):
        bucket, found = y[begin : begin + size], y[kept[(kept >= begin) & (kept < begin + size)]]
        assert (bucket.min(), bucket.max()) == (found.min(), found.max())


@given(st.integers(1, 400), st.integers(0, 300), bounds, st.sampled_from([0.0, 0.9]))
def test_a_live_curve_sent_in_parts_is_the_whole_curve(
    before: int, more: int, points: int, smooth: float
) -> None:
    whole = columns(before + more)
    old = curve(first_rows(whole, before), Wish(metric="loss", points=points, smooth=smooth))
    seen = Wish(metric="loss", points=points, smooth=smooth, seen=old["mark"])
    news = curve(whole, seen)
    expected = curve(whole, Wish(metric="loss", points=points, smooth=smooth))
    for name in ("x", "y", *(("s",) if smooth else ())):
        assert old[name][: news["from"]] + news[name] == expected[name]
    assert news["mark"] == expected["mark"]


def test_news_of_a_live_curve_are_few() -> None:
    whole = columns(10_010)
    old = curve(first_rows(whole, 10_000), Wish(metric="loss", points=1000))
    assert len(old["x"]) > 500
    assert len(curve(whole, Wish(metric="loss", points=1000, seen=old["mark"]))["x"]) < 10


def test_steps_that_were_taken_back_are_sent_again() -> None:
    old = curve(columns(100), Wish(metric="loss"))
    later = columns(100, attempts=(1, 2), seed=1)
    assert curve(later, Wish(metric="loss", seen=old["mark"])) == curve(later, Wish(metric="loss"))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_smoothing_is_the_weighted_mean_so_far(y: list[float], weight: float) -> None:
    found = smoothed(np.array(y), weight)
    for row, value in enumerate(found):
        weights = weight ** np.arange(row, -1, -1.0)
        assert value == pytest.approx(np.average(y[: row + 1], weights=weights), abs=1e-3)


def test_closer_there_are_more_points_and_one_row_on_either_side() -> None:
    whole = columns(10_000)
    near = curve(whole, Wish(metric="loss", low=500, high=600, points=500))
    assert near["x"] == list(range(499, 602))


def test_axes_are_steps_tokens_and_time_since_the_first_line() -> None:
    found = {
        axis: curve(columns(3), Wish(metric="loss", axis=axis))["x"]
        for axis in ("step", "tokens", "time")
    }
    assert found == {"step": [1, 2, 3], "tokens": [64, 128, 192], "time": [0, 1, 2]}


def test_rows_without_the_metric_are_no_points() -> None:
    whole = columns(4)
    whole.values["loss"][1] = np.nan
    assert curve(whole, Wish(metric="loss"))["x"] == [1, 3, 4]
    assert curve(whole, Wish(metric="nothing"))["x"] == []


def test_what_knows_no_tokens_is_drawn_at_those_of_its_step() -> None:
    """The load of a rank, between lines of training."""
    load = np.array([np.nan, 7.0, np.nan, 8.0])
    mixed = Columns(
        step=np.array([1, 1, 3, 3]),
        attempt=np.ones(4, int),
        time=np.arange(4.0),
        tokens=np.array([100, 0, 300, 0]),
        values={"system/rank/0/cpu_percent": load},
    )
    asked = Wish(metric="system/rank/0/cpu_percent", axis="tokens")
    assert curve(mixed, asked)["x"] == [100, 300]
