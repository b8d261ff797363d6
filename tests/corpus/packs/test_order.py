from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.order import Order
from tests.corpus.packs.synthetic import seeds


def test_every_document_is_at_one_position() -> None:
    for count in [*range(130), *range(1000, 5001, 1000), 4095, 4096, 4097]:
        found = Order(count=count, seed=count % 7, epoch=count % 3).between(0, count)
        assert np.array_equal(np.sort(found), np.arange(count)), count


@given(st.integers(10**6, 10**12), seeds, st.integers(0, 1000))
def test_positions_of_a_huge_corpus_have_each_a_document_of_its_own(
    count: int, seed: int, epoch: int
) -> None:
    order = Order(count=count, seed=seed, epoch=epoch)
    spread = np.linspace(0, count - 1, 3000).astype(np.int64)
    found = order.at(np.unique(np.concatenate([spread, np.arange(2000), count - 1 - spread])))
    assert len(np.unique(found)) == len(found)
    assert 0 <= found.min() <= found.max() < count


@given(st.integers(1, 10**12), seeds, st.data())
def test_a_slice_is_what_its_positions_are_alone(
    count: int, seed: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, min(count, start + 50)))
    order = Order(count=count, seed=seed, epoch=2)
    alone = [int(order.at(np.asarray([at]))[0]) for at in range(start, stop)]
    assert order.between(start, stop).tolist() == alone


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_every_document_is_as_likely_at_every_position(count: int) -> None:
    tries = 400
    counts = np.zeros((count, count))
    for seed in range(tries):
        order = Order(count=count, seed=seed, epoch=seed % 5)
        counts[np.arange(count), order.between(0, count)] += 1
    expected = tries / count
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    freedom = (count - 1) ** 2
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom) + 3


@pytest.mark.parametrize("count", [10_000, 10**9])
def test_neighbours_in_the_order_are_no_neighbours_in_the_corpus(count: int) -> None:
    found = Order(count=count, seed=1, epoch=0).between(0, 10_000) / count
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 5 / math.sqrt(len(found))
    assert abs(np.corrcoef(found, np.arange(len(found)))[0, 1]) < 5 / math.sqrt(len(found))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [
        Order(count=1000, seed=seed, epoch=epoch).between(0, 1000)
        for seed in range(3)
        for epoch in range(3)
    ]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).sum() < 12  # one on average


def test_a_position_outside_is_refused() -> None:
    with pytest.raises(IndexError, match=r"\[0, 3\)"):
        Order(count=3, seed=0, epoch=0).between(2, 4)
