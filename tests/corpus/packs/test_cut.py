from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.arrays import flat_ranges
from orchestrator.corpus.packs.cut import Cutting, Documents, Samples, cut, split_sentences
from orchestrator.corpus.packs.pairs import NO_LABEL, Pairing
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import (
    TEMPLATE,
    Lengths,
    ListCorpus,
    documents,
    pairings,
    realistic,
    seeds,
)

cuttings = st.builds(
    Cutting,
    seed=seeds,
    seq_len=st.integers(5, 40),
    template=st.just(TEMPLATE),
    pairing=pairings,
    short_share=st.sampled_from([0.0, 0.1, 1.0]),
)


def texts(samples: Samples, rows: Documents, half: int) -> list[np.ndarray]:
    return [
        rows.tokens_T[begin : begin + size].astype(np.int64)
        for begin, size in zip(samples.begins_S2[:, half], samples.lengths_S2[:, half], strict=True)
    ]


@given(documents, cuttings, st.integers(0, 3))
def test_every_token_is_in_one_sample_and_no_sample_is_too_long(
    sentences: Lengths, cutting: Cutting, epoch: int
) -> None:
    rows = ListCorpus(sentences).all()
    samples = cut(rows, cutting, epoch)
    used = flat_ranges(samples.begins_S2.ravel(), samples.lengths_S2.ravel())
    assert np.array_equal(np.sort(used), np.arange(len(rows.tokens_T)))
    assert (samples.sizes_S <= cutting.seq_len).all()
    assert (samples.lengths_S2[:, 0] > 0).all()
    assert len(np.unique(samples.ids_S)) == len(samples)


@given(documents, cuttings)
def test_a_text_is_of_one_document_and_ends_with_a_sentence(
    sentences: Lengths, cutting: Cutting
) -> None:
    corpus = ListCorpus(sentences)
    rows = corpus.all()
    samples = cut(rows, cutting, 0)
    bounds = split_sentences(rows, cutting.budget)
    for half in (0, 1):
        for text in texts(samples, rows, half):
            assert len(np.unique(corpus.document_of(text))) <= 1
    if cutting.pairing is Pairing.NONE:
        assert np.isin(samples.begins_S2[:, 0] + samples.lengths_S2[:, 0], bounds).all()


@given(documents, cuttings, st.data())
def test_what_is_read_beside_a_document_does_not_change_its_segments(
    sentences: Lengths, cutting: Cutting, data: st.DataObject
) -> None:
    """Of pairs, all but NSP: that one needs other documents."""
    if cutting.pairing is Pairing.NSP:
        return
    corpus = ListCorpus(sentences)
    chosen = data.draw(st.integers(0, len(sentences) - 1))
    alone = cut(corpus.read(np.asarray([chosen])), cutting, 1)
    others = np.random.default_rng(len(sentences)).permutation(len(sentences))
    together = cut(corpus.read(others), cutting, 1)
    assert np.isin(alone.ids_S, together.ids_S).all()


def test_a_tenth_of_samples_is_shorter_on_purpose() -> None:
    """Sentences of one token: a sample is as long as it was meant to be."""
    rows = ListCorpus([[1] * 200_000]).all()
    cutting = Cutting(seed=3, seq_len=128, template=TEMPLATE)
    sizes = cut(rows, cutting, 0).sizes_S[:-1]
    short = sizes[sizes < 128]
    # Of short ones, 1 in 125 is as long as any.
    assert abs(len(short) / len(sizes) - 0.1 * 124 / 125) < 5 * np.sqrt(0.09 / len(sizes))
    assert short.min() == 4 and short.max() == 127
    assert abs(short.mean() - 65.5) < 5 * 36 / np.sqrt(len(short))
    assert (cut(rows, cutting, 1).ids_S[:50] != cut(rows, cutting, 0).ids_S[:50]).any()


def test_sentences_fill_a_sample_up_to_the_last_that_fits() -> None:
    cutting = Cutting(seed=0, seq_len=12, template=TEMPLATE, short_share=0.0)
    samples = cut(ListCorpus([[4, 4, 4, 10, 23, 2], [], [0, 3], [3]]).all(), cutting, 0)
    assert samples.lengths_S2[:, 0].tolist() == [8, 4, 10, 10, 10, 5, 3, 3]
    assert (samples.labels_S == NO_LABEL).all()


@given(documents, seeds, st.integers(8, 40))
def test_exchanged_halves_are_of_different_documents_and_kept_ones_follow(
    sentences: Lengths, seed: int, seq_len: int
) -> None:
    corpus = ListCorpus(sentences)
    rows = corpus.all()
    cutting = Cutting(seed=seed, seq_len=seq_len, template=TEMPLATE, pairing=Pairing.NSP)
    samples = cut(rows, cutting, 0)
    halves = zip(texts(samples, rows, 0), texts(samples, rows, 1), samples.labels_S, strict=True)
    for first, second, label in halves:
        if label == NO_LABEL:
            assert len(second) == 0 and len(first) == 1
        elif label == 0:
            assert second[0] == first[-1] + 1
        else:
            assert corpus.document_of(first[:1]) != corpus.document_of(second[:1])


@pytest.mark.parametrize("num_documents", [2, 40, 400])
def test_half_of_the_pairs_exchange_their_second_halves(num_documents: int) -> None:
    corpus = realistic(num_documents, mean_sentences=4000 / num_documents)
    cutting = Cutting(seed=1, seq_len=64, template=TEMPLATE, pairing=Pairing.NSP)
    samples = cut(corpus.all(), cutting, 0)
    assert abs((samples.labels_S == 1).mean() - 0.5) < 0.01
    # Nothing about lengths tells the two kinds apart.
    second = samples.lengths_S2[:, 1]
    spread = second.std() / np.sqrt(len(second) / 4)
    assert abs(second[samples.labels_S == 1].mean() - second[samples.labels_S == 0].mean()) < (
        4 * spread
    )


def test_one_document_has_nobody_to_exchange_with() -> None:
    cutting = Cutting(seed=1, seq_len=64, template=TEMPLATE, pairing=Pairing.NSP)
    assert (cut(ListCorpus([[9] * 500, []]).all(), cutting, 0).labels_S == 0).all()


def test_two_pairs_exchange_in_one_of_two_epochs() -> None:
    """A count that cannot be halved is rounded by a key: right on average."""
    rows = ListCorpus([[9, 9], [9, 9]]).all()
    cutting = Cutting(seed=1, seq_len=64, template=TEMPLATE, pairing=Pairing.NSP, short_share=0.0)
    shares = [(cut(rows, cutting, epoch).labels_S == 1).mean() for epoch in range(400)]
    assert set(shares) == {0.0, 1.0} and abs(np.mean(shares) - 0.5) < 5 * 0.5 / np.sqrt(400)


def test_an_identity_says_both_texts_of_a_pair() -> None:
    rows = realistic(60).all()
    cutting = Cutting(seed=1, seq_len=64, template=TEMPLATE, pairing=Pairing.NSP, short_share=0)
    by_texts: dict[tuple[int, ...], int] = {}
    for epoch in range(6):
        samples = cut(rows, cutting, epoch)
        spans = np.concatenate([samples.begins_S2, samples.lengths_S2], axis=1)
        for span, identity in zip(spans.tolist(), samples.ids_S.tolist(), strict=True):
            assert by_texts.setdefault(tuple(span), identity) == identity
    assert len(set(by_texts.values())) == len(by_texts)


def test_half_of_the_pairs_are_turned_round_and_it_shows() -> None:
    rows = realistic(300).all()
    cutting = Cutting(seed=1, seq_len=64, template=TEMPLATE, pairing=Pairing.SOP)
    samples = cut(rows, cutting, 0)
    is_turned = samples.begins_S2[:, 0] > samples.begins_S2[:, 1]
    is_pair = samples.labels_S != NO_LABEL
    assert np.array_equal(is_turned[is_pair], samples.labels_S[is_pair] == 1)
    assert abs(is_turned[is_pair].mean() - 0.5) < 5 * 0.5 / np.sqrt(is_pair.sum())


def test_special_tokens_that_leave_no_room_are_refused() -> None:
    with pytest.raises(RequestError, match="seq_len=4 leaves 1 tokens"):
        Cutting(seed=0, seq_len=4, template=TEMPLATE, pairing=Pairing.NSP)
