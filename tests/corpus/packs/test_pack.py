from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.keys import draw
from orchestrator.corpus.packs.cut import Cutting, cut
from orchestrator.corpus.packs.pack import best_fit, pack
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import TEMPLATE, realistic, seeds

sizes = st.lists(st.integers(1, 30), max_size=60)


@given(sizes, st.integers(30, 90), seeds)
def test_every_sample_is_in_one_pack_and_no_pack_overflows(
    lengths: list[int], pack_tokens: int, seed: int
) -> None:
    sizes_S = np.asarray(lengths, np.int64)
    packing = pack(sizes_S, ids(lengths), pack_tokens=pack_tokens, seed=seed, epoch=0)
    assert np.array_equal(np.sort(packing.samples_S), np.arange(len(lengths)))
    rooms = [pack_tokens - sizes_S[packing.samples_of(i)].sum() for i in range(len(packing))]
    assert all(0 <= room < pack_tokens for room in rooms)


@given(sizes, seeds)
def test_packs_do_not_depend_on_the_order_of_samples(lengths: list[int], seed: int) -> None:
    sizes_S, ids_S = np.asarray(lengths, np.int64), ids(lengths)
    shuffled = np.random.default_rng(0).permutation(len(lengths))
    one = pack(sizes_S, ids_S, pack_tokens=50, seed=seed, epoch=1)
    other = pack(sizes_S[shuffled], ids_S[shuffled], pack_tokens=50, seed=seed, epoch=1)
    assert np.array_equal(one.samples_S, shuffled[other.samples_S])
    assert np.array_equal(one.offsets_P1, other.offsets_P1)


@given(sizes, st.integers(30, 90))
def test_best_fit_takes_the_fullest_pack_that_has_room(lengths: list[int], capacity: int) -> None:
    rooms: list[int] = []
    for size, chosen in zip(lengths, best_fit(lengths, capacity), strict=True):
        fitting = [room for room in rooms if room >= size]
        if chosen == len(rooms):
            assert not fitting
            rooms.append(capacity)
        assert rooms[chosen] == min(fitting, default=capacity)
        rooms[chosen] -= size


@pytest.mark.parametrize("pairing", [Pairing.NONE, Pairing.NSP])
@pytest.mark.parametrize(("seq_len", "mean_sentences"), [(128, 30), (512, 30), (512, 400)])
def test_a_window_fills_its_packs(pairing: Pairing, seq_len: int, mean_sentences: int) -> None:
    corpus = realistic(50_000 // mean_sentences, mean_sentences=mean_sentences)
    cutting = Cutting(seed=1, seq_len=seq_len, template=TEMPLATE, pairing=pairing)
    samples = cut(corpus.all(), cutting, 0)
    packing = pack(samples.sizes_S, samples.ids_S, pack_tokens=8192, seed=1, epoch=0)
    sizes_P = np.sort(np.add.reduceat(samples.sizes_S[packing.samples_S], packing.offsets_P1[:-1]))
    assert len(packing) > 64
    # One pack takes the rest, whatever it is; all others are full.
    assert sizes_P[1:].mean() > 0.995 * 8192
    assert sizes_P.mean() > 0.985 * 8192


def test_every_pack_is_a_mixture() -> None:
    """Long and short samples are spread, so that a pack is no worse a sample of the window."""
    rng = np.random.default_rng(0)
    sizes_S = np.where(rng.random(6000) < 0.9, 512 - rng.integers(0, 30, 6000), 2)
    sizes_S = np.where(sizes_S == 2, rng.integers(4, 512, 6000), sizes_S)
    packing = pack(sizes_S, ids(sizes_S), pack_tokens=8192, seed=1, epoch=0)
    packs_P = [sizes_S[packing.samples_of(i)] for i in range(len(packing))]
    full_P = np.asarray([(found > 480).mean() for found in packs_P])
    assert np.quantile(full_P, 0.05) > 0.6  # of 17, two standard deviations are 0.14
    mixed_P = [found[found > 480] for found in packs_P if (found > 480).sum() > 10]
    long_P = np.asarray([found.mean() for found in mixed_P])
    assert long_P.std() < 4  # of 16 random ones 2.1; sorted by length it would be 8.5
    places = packing.samples_S / len(sizes_S)
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 5 / np.sqrt(len(places))


def test_a_sample_that_no_pack_can_hold_is_refused() -> None:
    with pytest.raises(RequestError, match=r"batch.pack_tokens=50"):
        pack(np.asarray([3, 51]), ids([3, 51]), pack_tokens=50, seed=0, epoch=0)


def ids(lengths: object) -> np.ndarray:
    return draw(5, np.arange(len(lengths)))
