from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.keys import (
    Purpose,
    below,
    draw,
    draw_along,
    key_of,
    sum_of,
    threshold,
)

NUM = 1 << 16


def bits_of(numbers: np.ndarray) -> np.ndarray:
    """[len, 64] of 0 and 1."""
    return np.unpackbits(numbers.view(np.uint8).reshape(-1, 8), axis=1)


def test_a_number_is_the_same_in_every_version_and_on_every_machine() -> None:
    """Recorded: streams of old runs must be found again."""
    key = key_of(7, Purpose.MASK, 3)
    assert key == 0x8458F92369354EE6
    assert draw(key, np.arange(3)).tolist() == [
        0xD7736FC82A3ABCD9,
        0x15975DE54DCFB197,
        0xEA431ED94954BFBE,
    ]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40))
def test_an_array_is_drawn_as_its_elements_are(key: int, part: int) -> None:
    assert draw(key, np.asarray([5, part]))[1] == draw(key, np.asarray([part]))[0]
    keys = np.asarray([1, key], np.uint64)
    assert draw(keys, np.asarray([5, part]))[1] == draw(key, np.asarray([part]))[0]


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(0, 99))
def test_numbers_along_pieces_are_those_of_each_place(lengths: list[int], seed: int) -> None:
    keys = draw(key_of(seed, Purpose.MASK), np.arange(len(lengths)))
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    along = draw_along(keys, bounds)
    apart = [draw(keys[i : i + 1].repeat(n), np.arange(n)) for i, n in enumerate(lengths)]
    assert along.tolist() == [number for piece in apart for number in piece.tolist()]


def test_different_parts_under_one_key_never_collide() -> None:
    assert len(np.unique(draw(key_of(1, Purpose.ORDER), np.arange(NUM)))) == NUM


@pytest.mark.parametrize("which", ["seed", "epoch", "sample", "position"])
def test_one_flipped_bit_of_any_part_flips_half_of_the_bits(which: str) -> None:
    rng = np.random.default_rng(0)
    flips = np.zeros((40, 64))
    for bit in range(40):
        parts = {"seed": 11, "epoch": 3, "sample": 5, "position": rng.integers(0, 2**40, 500)}
        first = _numbers(**parts)
        second = _numbers(**(parts | {which: parts[which] ^ (1 << bit)}))
        flips[bit] = bits_of(first ^ second).mean(axis=0)
    # 500 fair coins each: five standard deviations, and the mean over all much closer.
    assert np.abs(flips - 0.5).max() < 5 * 0.5 / math.sqrt(500)
    assert abs(flips.mean() - 0.5) < 0.005


def _numbers(*, seed: int, epoch: int, sample: int, position: np.ndarray) -> np.ndarray:
    samples = draw(key_of(seed, Purpose.MASK, epoch), np.full(len(position), sample))
    return draw(samples, position)


@pytest.mark.parametrize("shift", [0, 16, 32, 48])
def test_every_part_of_a_number_is_uniform(shift: int) -> None:
    numbers = draw(key_of(2, Purpose.MASK, 0), np.arange(NUM)) >> np.uint64(shift)
    counts = np.bincount((numbers & np.uint64(255)).astype(np.int64), minlength=256)
    expected = NUM / 256
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert abs(chi2 - 255) < 5 * math.sqrt(2 * 255)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, Purpose.MASK, 0), (2, Purpose.MASK, 0)),
        ((1, Purpose.MASK, 0), (1, Purpose.REPLACE, 0)),
        ((1, Purpose.MASK, 0), (1, Purpose.MASK, 1)),
    ],
    ids=["seed", "purpose", "epoch"],
)
def test_streams_of_neighbouring_keys_are_independent(
    one: tuple[int, Purpose, int], other: tuple[int, Purpose, int]
) -> None:
    first, second = (draw(key_of(*key), np.arange(NUM)) / 2.0**64 for key in (one, other))
    for left, right in ((first, second), (first[1:], first[:-1]), (first[1:], second[:-1])):
        assert abs(np.corrcoef(left, right)[0, 1]) < 5 / math.sqrt(NUM)


@given(st.integers(1, 2**32), st.integers(0, 99))
def test_a_bounded_number_is_below_its_limit(limit: int, seed: int) -> None:
    numbers = np.append(draw(seed, np.arange(50)), np.uint64(2**64 - 1))
    found = below(numbers, limit)
    assert 0 <= found.min() <= found.max() == limit - 1


@pytest.mark.parametrize("chance", [0.0, 0.15, 0.5, 1.0])
def test_a_threshold_is_passed_with_its_chance(chance: float) -> None:
    share = float((draw(key_of(3, Purpose.MASK), np.arange(NUM)) < threshold(chance)).mean())
    assert abs(share - chance) <= 5 * math.sqrt(chance * (1 - chance) / NUM)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 20))
def test_a_sum_is_the_same_in_any_order_and_grouping(numbers: list[int], at: int) -> None:
    array = np.asarray(numbers, np.uint64)
    parts = sum_of(array[:at][::-1]) + sum_of(array[at:])
    assert sum_of(array) == parts % 2**64 == sum(numbers) % 2**64
