"""Signatures of eight bands, each one value repeated: two are alike where half of the bands are."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.corpus.text import near

NUM_BANDS = 8
WIDTH = near.NUM_VALUES // NUM_BANDS
BANDS = [slice(at * WIDTH, (at + 1) * WIDTH) for at in range(NUM_BANDS)]
ROWS = st.lists(st.integers(0, 2), min_size=NUM_BANDS, max_size=NUM_BANDS)


def first(rows: list[list[int]], bands: list[slice] = BANDS) -> list[bool]:
    values_DV = np.repeat(np.array(rows, np.uint32).reshape(-1, NUM_BANDS), WIDTH, axis=1)
    return [bool(is_first) for is_first in near.are_first(values_DV, bands, 0.5)]


def is_alike_to_an_earlier_one(rows: list[list[int]], at: int) -> bool:
    equal = (sum(a == b for a, b in zip(row, rows[at], strict=True)) for row in rows[:at])
    return any(2 * count >= NUM_BANDS for count in equal)


@given(st.lists(ROWS, max_size=16))
def test_what_is_left_out_is_alike_to_an_earlier_one(rows: list[list[int]]) -> None:
    for at, is_first in enumerate(first(rows)):
        assert is_first or is_alike_to_an_earlier_one(rows, at)


@example([[0] + [1] * 7, [0] + [2] * 7, [0] + [1] * 7])
@given(st.lists(ROWS.map(lambda row: [0, *row[1:]]), max_size=3))
def test_of_three_that_share_a_band_all_pairs_are_compared(rows: list[list[int]]) -> None:
    alike = [is_alike_to_an_earlier_one(rows, at) for at in range(len(rows))]
    assert first(rows, BANDS[:1]) == [not is_alike for is_alike in alike]


@given(st.lists(ROWS, max_size=16))
def test_nothing_is_found_in_what_was_left(rows: list[list[int]]) -> None:
    left = [row for row, is_first in zip(rows, first(rows), strict=True) if is_first]
    assert all(first(left))


def test_a_pair_that_others_stood_between_is_found_in_the_end() -> None:
    """All but the first share band 0; the last is alike to the third, the fourth to the first."""
    rows = [
        [1, 2, 2, 2, 2, 2, 2, 2],
        [0, 3, 3, 3, 3, 3, 3, 3],
        [0, 4, 4, 4, 4, 4, 4, 4],
        [0, 2, 2, 2, 2, 2, 2, 2],
        [0, 5, 4, 4, 4, 4, 4, 4],
    ]
    assert first(rows, BANDS[:2]) == [True, True, True, False, False]


def test_a_document_alike_to_a_later_one_only_stays() -> None:
    rows = [[1] * NUM_BANDS, [2] * NUM_BANDS, [1, 2] * (NUM_BANDS // 2)]
    assert first(rows) == [True, True, False]
