from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.cut import REPEAT
from orchestrator.corpus.packs.mixture import Mixture, Portion
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.packs.window import open_window
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import (
    NUM_SPECIAL,
    ListCorpus,
    a_recipe,
    epoch_of,
    ids,
    same,
    seeds,
)

portions = st.builds(
    Portion,
    num_documents=st.integers(0, 12),
    weight=st.one_of(st.sampled_from([0.01, 0.5, 1.0, 2.0, 3.0]), st.floats(0.01, 4.0)),
)
mixtures = st.builds(Mixture, portions=st.lists(portions, min_size=1, max_size=4).map(tuple))
filled = mixtures.filter(lambda mixture: mixture.num_documents > 0)


def mixed(*portions: tuple[int, float]) -> Mixture:
    return Mixture(portions=tuple(Portion(num_documents=n, weight=w) for n, w in portions))


def reads_of(mixture: Mixture, epoch: int, seed: int = 0) -> np.ndarray:
    return mixture.documents(np.arange(mixture.num_reads), seed=seed, epoch=epoch)


@pytest.mark.slow
@given(mixtures, seeds, st.integers(0, 20))
def test_no_document_is_read_again_before_all_of_its_portion_were(
    mixture: Mixture, seed: int, first: int
) -> None:
    """After any number of epochs, counts within a portion differ by one at most."""
    counts = np.zeros(mixture.num_documents, np.int64)
    for epoch in range(first):
        np.add.at(counts, reads_of(mixture, epoch, seed) % REPEAT, 1)
    for epoch in range(first, first + 3):
        found = reads_of(mixture, epoch, seed)
        assert len(np.unique(found)) == len(found)  # a repeat is another number
        np.add.at(counts, found % REPEAT, 1)
        begin = 0
        for portion in mixture.portions:
            own = counts[begin : begin + portion.num_documents]
            assert own.sum() == (epoch + 1) * portion.num_reads
            assert not len(own) or own.max() - own.min() <= 1
            begin += portion.num_documents


@given(mixtures, seeds, st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_read_is_the_same_whatever_is_read_with_it(
    mixture: Mixture, seed: int, epoch: int, random: object
) -> None:
    some = np.asarray(random.sample(range(mixture.num_reads), mixture.num_reads // 2), np.int64)
    found = mixture.documents(some, seed=seed, epoch=epoch)
    assert found.tolist() == reads_of(mixture, epoch, seed)[some].tolist()


@given(portions)
def test_an_epoch_reads_the_weight_times_the_documents(portion: Portion) -> None:
    if portion.num_documents:
        assert abs(portion.num_reads - portion.weight * portion.num_documents) <= 1
        assert portion.num_reads >= 1
    else:
        assert portion.num_reads == 0


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), seeds, st.integers(0, 4))
def test_weights_of_one_change_nothing(counts: list[int], seed: int, epoch: int) -> None:
    mixture = mixed(*((count, 1.0) for count in counts))
    assert reads_of(mixture, epoch, seed).tolist() == list(range(sum(counts)))


def test_a_repeat_is_numbered_in_its_epoch() -> None:
    """3 documents of weight 2 in every epoch twice; of weight 1.5 one or two of them."""
    twice = reads_of(mixed((3, 2.0)), 7)
    assert sorted(twice.tolist()) == [0, 1, 2, REPEAT, REPEAT + 1, REPEAT + 2]
    for epoch in range(4):
        half = reads_of(mixed((4, 1.5)), epoch)
        assert len(half) == 6 and (half // REPEAT).sum() == (2 if epoch % 2 == 0 else 4)


@pytest.mark.slow
def test_which_half_is_read_first_is_a_matter_of_the_seed() -> None:
    counts = np.zeros((2, 10))
    for seed in range(200):
        for number, found in enumerate(np.split(reads_of(mixed((10, 0.5), (10, 0.5)), 0, seed), 2)):
            counts[number, found - 10 * number] += 1
    assert np.abs(counts - 100).max() < 5 * np.sqrt(50)
    two = [reads_of(mixed((1000, 0.5), (1000, 0.5)), 0, seed) for seed in (0, 1)]
    for one, other in ((two[0][:500], two[1][:500]), (two[0][:500], two[0][500:] - 1000)):
        assert abs(len(np.intersect1d(one, other)) - 250) < 5 * np.sqrt(62.5)


def test_every_pass_is_in_an_order_of_its_own() -> None:
    """The half that one pass begins with says nothing of the half that the next begins with."""
    halves = [reads_of(mixed((1000, 0.5)), epoch) for epoch in (0, 1, 2, 3)]
    assert len(np.intersect1d(halves[0], halves[1])) == 0
    for later in halves[2:]:
        assert abs(len(np.intersect1d(halves[0], later)) - 250) < 5 * np.sqrt(62.5)


@given(filled, seeds, st.integers(6, 30), st.sampled_from(list(Pairing)), st.integers(0, 3))
def test_an_epoch_has_each_read_once_and_its_samples_apart(
    mixture: Mixture, seed: int, window: int, pairing: Pairing, epoch: int
) -> None:
    corpus = ListCorpus([[5, 9]] * mixture.num_documents)
    recipe = a_recipe(seed=seed, window_documents=window, pairing=pairing, mixture=mixture)
    packs = epoch_of(corpus, recipe, epoch)
    tokens = np.concatenate([pack.tokens_T for pack in packs])
    found = Counter(tokens[tokens >= NUM_SPECIAL].tolist())
    reads = Counter((reads_of(mixture, epoch, seed) % REPEAT).tolist())
    assert found == {
        NUM_SPECIAL + 14 * document + place: count
        for document, count in reads.items()
        for place in range(14)
    }
    assert len(set(ids(packs))) == len(ids(packs))


@given(filled, seeds, st.integers(0, 8))
def test_a_resume_is_the_straight_stream(mixture: Mixture, seed: int, stop: int) -> None:
    corpus = ListCorpus([[5, 9]] * mixture.num_documents)
    recipe = a_recipe(seed=seed, window_documents=6, mixture=mixture)
    straight = list(islice(Stream(corpus, recipe).packs(Cursor()), stop + 5))
    cursor = straight[stop - 1][1] if stop else Cursor()
    again = islice(Stream(corpus, recipe).packs(cursor), 5)
    for (one, one_cursor), (other, other_cursor) in zip(straight[stop:], again, strict=True):
        assert same(one, other) and one_cursor == other_cursor


def test_every_window_is_a_mixture() -> None:
    """The order is one of all reads: a portion has its share of every window."""
    mixture = mixed((400, 0.5), (100, 2.0), (200, 1.0))
    recipe = a_recipe(window_documents=60, mixture=mixture)
    corpus = ListCorpus([[9]] * 700)
    bounds = np.asarray([0, 400, 500, 700])
    for number in range(10):
        window = open_window(corpus, recipe, epoch=1, window=number, packs_before=0)
        tokens = np.concatenate([window.pack(i, index=0).tokens_T for i in range(len(window))])
        documents = corpus.document_of(np.sort(tokens[tokens >= NUM_SPECIAL])[::9])
        shares = np.histogram(documents, bounds)[0]
        assert shares.sum() == 60 and np.abs(shares - 20).max() < 5 * np.sqrt(60 * 2 / 9)


def test_a_text_is_never_exchanged_for_its_own_repeat() -> None:
    recipe = a_recipe(
        seq_len=24, window_documents=40, pairing=Pairing.NSP, mixture=mixed((2, 20.0))
    )
    corpus = ListCorpus([[6, 7], [5, 5]])
    labels = []
    for pack in epoch_of(corpus, recipe, 0):
        for i, (begin, end) in enumerate(zip(pack.offsets_S1, pack.offsets_S1[1:], strict=False)):
            tokens = pack.tokens_T[begin:end]
            documents = corpus.document_of(tokens[tokens >= NUM_SPECIAL].astype(np.int64))
            assert (len(np.unique(documents)) == 2) == (pack.labels_S[i] == 1)
            labels.append(pack.labels_S[i])
    assert abs(labels.count(1) - len(labels) / 2) <= 2


def test_documents_that_are_read_late_are_waited_for() -> None:
    """Of ten documents one has text, and an epoch reads two."""
    recipe = a_recipe(mixture=mixed((10, 0.2)))
    packs = islice(Stream(ListCorpus([[]] * 9 + [[8]]), recipe).packs(Cursor()), 3)
    assert [pack.epoch // 5 for pack, _ in packs] == [0, 1, 2]


def test_weights_and_portions_that_make_no_sense_are_refused() -> None:
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(RequestError, match="must be above 0"):
            Portion(num_documents=3, weight=weight)
    with pytest.raises(RequestError, match=r"has 5 documents and the portions .* 7"):
        Stream(ListCorpus([[9]] * 5), a_recipe(mixture=mixed((3, 1.0), (4, 1.0))))
