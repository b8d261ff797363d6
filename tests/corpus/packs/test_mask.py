from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.arrays import offsets
from orchestrator.corpus.keys import draw
from orchestrator.corpus.packs.mask import Masked, Masking, Unit, Vocabulary, mask
from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.packs.window import Pack
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import (
    CLS,
    MASK,
    NUM_SPECIAL,
    PAD,
    SEP,
    a_recipe,
    realistic,
    seeds,
)

VOCABULARY = Vocabulary(size=400, mask_id=MASK, special_ids=(CLS, SEP, PAD))
ORDINARY = np.setdiff1d(np.arange(400), [CLS, SEP, PAD, MASK])
units = st.sampled_from(list(Unit))
rates = st.sampled_from([0.0, 0.05, 0.15, 0.4, 1.0])


def a_pack(samples: list[list[int]], *, starts: object = None, ids: object = None) -> Pack:
    lengths = np.asarray([len(sample) for sample in samples], np.int64)
    tokens = np.asarray([token for sample in samples for token in sample], np.int32)
    return Pack(
        index=0,
        epoch=0,
        weight=1,
        tokens_T=tokens,
        positions_T=np.concatenate([[], *map(np.arange, lengths)]).astype(np.int32),
        segments_T=np.zeros_like(tokens),
        word_starts_T=np.ones(len(tokens), bool) if starts is None else np.asarray(starts),
        offsets_S1=offsets(lengths).astype(np.int32),
        ids_S=draw(1, np.arange(len(samples))) if ids is None else np.asarray(list(ids), np.uint64),
        labels_S=np.full(len(samples), -1),
    )


samples = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), min_size=1, max_size=9)


@st.composite
def packs(draw_: st.DrawFn) -> Pack:
    """Special tokens and masks anywhere, words of any length."""
    found = draw_(samples)
    size = sum(map(len, found))
    return a_pack(found, starts=draw_(st.lists(st.booleans(), min_size=size, max_size=size)))


def large_pack(*, num_samples: int = 400, size: int = 500, words: float = 0.6) -> Pack:
    rng = np.random.default_rng(0)
    text = rng.choice(ORDINARY, (num_samples, size))
    text[:, 0], text[:, size // 2], text[:, -1] = CLS, SEP, SEP
    return a_pack(text.tolist(), starts=rng.random(num_samples * size) < words)


@given(packs(), seeds, rates, units)
def test_special_tokens_and_masks_are_never_chosen_nor_put_in(
    pack: Pack, seed: int, rate: float, unit: Unit
) -> None:
    masked = mask(pack, Masking(seed=seed, rate=rate, unit=unit), VOCABULARY)
    assert np.isin(masked.targets_P, ORDINARY).all()
    put = masked.tokens_T[masked.chosen_P]
    assert (np.isin(put, ORDINARY) | (put == MASK)).all()
    untouched = np.delete(np.arange(len(pack.tokens_T)), masked.chosen_P)
    assert np.array_equal(masked.tokens_T[untouched], pack.tokens_T[untouched])
    assert np.array_equal(masked.targets_P, pack.tokens_T[masked.chosen_P])
    assert (np.diff(masked.chosen_P) > 0).all()


@given(packs(), seeds, rates, units)
def test_every_sample_with_a_token_to_choose_has_a_prediction(
    pack: Pack, seed: int, rate: float, unit: Unit
) -> None:
    masked = mask(pack, Masking(seed=seed, rate=rate, unit=unit), VOCABULARY)
    is_open = np.isin(pack.tokens_T, ORDINARY)
    has_open = np.add.reduceat(is_open, pack.offsets_S1[:-1]) > 0
    num_chosen = np.diff(np.searchsorted(masked.chosen_P, pack.offsets_S1))
    assert np.array_equal(num_chosen > 0, has_open)


@given(packs(), seeds, rates, units, st.randoms(use_true_random=False))
def test_a_sample_is_masked_alike_wherever_it_stands(
    pack: Pack, seed: int, rate: float, unit: Unit, random: object
) -> None:
    masking = Masking(seed=seed, rate=rate, unit=unit)
    order = list(range(len(pack.ids_S)))
    random.shuffle(order)
    spans = [slice(*pack.offsets_S1[i : i + 2]) for i in order]
    moved = a_pack(
        [pack.tokens_T[span].tolist() for span in spans],
        starts=np.concatenate([pack.word_starts_T[span] for span in spans]),
        ids=pack.ids_S[order],
    )
    tokens = mask(pack, masking, VOCABULARY).tokens_T
    together = mask(moved, masking, VOCABULARY)
    assert np.array_equal(together.tokens_T, np.concatenate([tokens[span] for span in spans]))


@given(packs(), seeds, rates)
def test_words_are_chosen_whole(pack: Pack, seed: int, rate: float) -> None:
    for unit in (Unit.WORD, Unit.NGRAM):
        is_chosen = chosen(pack, mask(pack, Masking(seed=seed, rate=rate, unit=unit), VOCABULARY))
        is_open = np.isin(pack.tokens_T, ORDINARY)
        goes_on = ~pack.word_starts_T[1:] & is_open[1:] & is_open[:-1]
        goes_on &= np.diff(np.repeat(np.arange(len(pack.ids_S)), np.diff(pack.offsets_S1))) == 0
        assert np.array_equal(is_chosen[1:][goes_on], is_chosen[:-1][goes_on])


@pytest.mark.parametrize("rate", [0.15, 0.4])
@pytest.mark.parametrize("unit", list(Unit))
def test_every_place_of_a_text_is_chosen_at_the_rate(unit: Unit, rate: float) -> None:
    """At its edges too. Words vary in length, so choices of neighbours are not independent."""
    pack = large_pack()
    is_chosen = np.zeros((400, 500))
    for epoch in range(4):
        masking = Masking(seed=5, rate=rate, unit=unit)
        is_chosen += chosen(pack, mask(replace(pack, epoch=epoch), masking, VOCABULARY)).reshape(
            400, 500
        )
    share = is_chosen / 4
    sigma = np.sqrt(rate * (1 - rate))
    text = np.delete(np.arange(500), [0, 250, 499])
    assert abs(share[:, text].mean() - rate) < 5 * sigma * np.sqrt(5 / (1600 * 497))
    for places in ([1], [2], [3], [249], [251], [252], [498]):
        assert abs(share[:, places].mean() - rate) < 5 * sigma / np.sqrt(1600)


def test_spans_cross_neither_special_tokens_nor_the_end_of_a_sample() -> None:
    """Texts of one word between special tokens, and samples of one word after another."""
    masking = Masking(seed=5, rate=0.15, unit=Unit.NGRAM)
    text = np.full((100, 500), SEP)
    text[:, ::2] = 50
    pack = a_pack(text.tolist())
    share = chosen(pack, mask(pack, masking, VOCABULARY)).sum() / 25_000
    assert abs(share - 0.15) < 5 * np.sqrt(0.15 * 0.85 / 25_000)
    apart = [a_pack([[50, 51, 52]], ids=[number]) for number in range(200)]
    together = a_pack([[50, 51, 52]] * 200, ids=range(200))
    alone = [mask(one, masking, VOCABULARY).tokens_T for one in apart]
    assert np.array_equal(mask(together, masking, VOCABULARY).tokens_T, np.concatenate(alone))


def test_of_the_chosen_eight_tenths_are_masked_and_one_is_random() -> None:
    pack = large_pack()
    masked = mask(pack, Masking(seed=1), VOCABULARY)
    put, num = masked.tokens_T[masked.chosen_P], len(masked.chosen_P)
    assert abs((put == MASK).mean() - 0.8) < 5 * np.sqrt(0.16 / num)
    # A random word is in 1 of 396 cases the same word.
    others = put[(put != MASK) & (put != masked.targets_P)]
    assert abs(len(others) / num - 0.1 * 395 / 396) < 5 * np.sqrt(0.09 / num)
    counts = np.bincount(others, minlength=400)[ORDINARY]
    expected = len(others) / len(ORDINARY)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi2 - len(ORDINARY)) < 5 * np.sqrt(2 * len(ORDINARY))


def test_spans_have_up_to_three_words_rarer_the_longer_they_are() -> None:
    """At a small rate spans hardly meet, so their lengths can be read off the masks."""
    pack = large_pack(num_samples=1500, words=1.0)
    masked = mask(pack, Masking(seed=1, rate=0.004, unit=Unit.NGRAM), VOCABULARY)
    runs = np.split(masked.chosen_P, np.flatnonzero(np.diff(masked.chosen_P) > 1) + 1)
    samples, firsts = np.unique([run[0] // 500 for run in runs], return_counts=True)
    # A sample with one run may have got it only because it had none.
    several = set(samples[firsts > 1].tolist())
    lengths = np.asarray([len(run) for run in runs if run[0] // 500 in several])
    for n, chance in ((1, 6 / 11), (2, 3 / 11), (3, 2 / 11)):
        # Spans that meet (about 1 in 100) blur this a little.
        assert abs((lengths == n).mean() - chance) < 0.01 + 4 * np.sqrt(0.25 / len(lengths))


@given(seeds, units)
def test_epochs_and_seeds_mask_independently(seed: int, unit: Unit) -> None:
    pack = large_pack(num_samples=20)
    masking = Masking(seed=seed, unit=unit)
    one = chosen(pack, mask(pack, masking, VOCABULARY))
    for other in (
        chosen(pack, mask(replace(pack, epoch=1), masking, VOCABULARY)),
        chosen(pack, mask(pack, replace(masking, seed=seed + 1), VOCABULARY)),
        np.roll(one, 500),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.12


@pytest.mark.parametrize("unit", list(Unit))
def test_packs_of_the_stream_are_masked_as_their_samples_ask(unit: Unit) -> None:
    corpus = realistic(20)
    vocabulary = Vocabulary(
        size=corpus.num_tokens + NUM_SPECIAL, mask_id=MASK, special_ids=(CLS, SEP, PAD)
    )
    recipe = a_recipe(seq_len=64, pack_tokens=256)
    for pack, _ in islice(Stream(corpus, recipe).packs(Cursor()), 10):
        masked = mask(pack, Masking(seed=3, unit=unit), vocabulary)
        assert (np.diff(np.searchsorted(masked.chosen_P, pack.offsets_S1)) > 0).all()
        assert (masked.targets_P >= NUM_SPECIAL).all()


def test_a_vocabulary_of_special_tokens_alone_is_refused() -> None:
    with pytest.raises(RequestError, match="All 2 words"):
        Vocabulary(size=2, mask_id=1, special_ids=(0,))


def chosen(pack: Pack, masked: Masked) -> np.ndarray:
    is_chosen = np.zeros(len(pack.tokens_T), bool)
    is_chosen[masked.chosen_P] = True
    return is_chosen
