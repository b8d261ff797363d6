from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.cut import Template
from orchestrator.corpus.packs.mask import Masking, Unit, Vocabulary, mask
from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.corpus.packs.window import (
    Recipe,
    empty_pack,
    num_windows,
    open_window,
    window_documents,
)
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import (
    CLS,
    MASK,
    NUM_SPECIAL,
    PAD,
    SEP,
    Lengths,
    ListCorpus,
    a_recipe,
    epoch_of,
    filled,
    ids,
    pairings,
    realistic,
    same,
    seeds,
)

recipes = st.builds(
    a_recipe,
    seed=seeds,
    seq_len=st.integers(5, 24),
    pack_tokens=st.integers(24, 90),
    window_documents=st.integers(1, 30),
    pairing=pairings,
)
counts = st.integers(0, 2**60)
shares = st.builds(
    Share,
    packs_per_step=st.integers(1, 9),
    micro_packs=st.integers(1, 4),
    world=st.integers(1, 6),
    rank=st.just(0),
)


@given(filled, recipes, st.integers(0, 5))
def test_an_epoch_has_every_token_once(sentences: Lengths, recipe: Recipe, epoch: int) -> None:
    corpus = ListCorpus(sentences)
    packs = epoch_of(corpus, recipe, epoch)
    tokens = np.concatenate([pack.tokens_T for pack in packs])
    text = np.sort(tokens[tokens >= NUM_SPECIAL])
    assert np.array_equal(text, np.arange(corpus.num_tokens) + NUM_SPECIAL)
    assert len(set(ids(packs))) == len(ids(packs))
    assert all(len(pack.tokens_T) <= recipe.pack_tokens for pack in packs)


@given(filled, recipes)
def test_a_pack_is_its_samples_laid_end_to_end(sentences: Lengths, recipe: Recipe) -> None:
    for pack in epoch_of(ListCorpus(sentences), recipe, 0):
        assert pack.offsets_S1[-1] == len(pack.tokens_T) == len(pack.positions_T)
        assert pack.tokens_T.dtype == pack.offsets_S1.dtype == np.int32
        for i, (begin, end) in enumerate(zip(pack.offsets_S1, pack.offsets_S1[1:], strict=False)):
            tokens, segments = pack.tokens_T[begin:end], pack.segments_T[begin:end]
            assert end - begin <= recipe.cutting.seq_len
            assert pack.positions_T[begin:end].tolist() == list(range(end - begin))
            assert tokens[0] == CLS and tokens[-1] == SEP
            is_pair = pack.labels_S[i] >= 0
            seps = np.flatnonzero(tokens == SEP)
            assert len(seps) == 1 + is_pair and (tokens == CLS).sum() == 1
            assert np.array_equal(segments, (np.arange(len(tokens)) > seps[0]).astype(np.int32))
            assert pack.word_starts_T[begin:end][[0, 1, *seps]].all()


@given(filled, recipes, st.integers(0, 12), st.sampled_from(list(Unit)))
def test_any_prefix_and_a_resume_are_the_straight_stream(
    sentences: Lengths, recipe: Recipe, stop: int, unit: Unit
) -> None:
    corpus = ListCorpus(sentences)
    straight = list(islice(Stream(corpus, recipe).packs(Cursor()), stop + 6))
    cursor = straight[stop - 1][1] if stop else Cursor()
    again = list(islice(Stream(corpus, recipe).packs(cursor), 6))
    vocabulary = Vocabulary(
        size=corpus.num_tokens + NUM_SPECIAL, mask_id=MASK, special_ids=(CLS, SEP, PAD)
    )
    masking = Masking(seed=recipe.cutting.seed, unit=unit)
    for (one, one_cursor), (other, other_cursor) in zip(straight[stop:], again, strict=True):
        assert same(one, other) and one_cursor == other_cursor
        left, right = mask(one, masking, vocabulary), mask(other, masking, vocabulary)
        assert np.array_equal(left.tokens_T, right.tokens_T)
        assert np.array_equal(left.chosen_P, right.chosen_P)
    assert [pack.index for pack, _ in straight] == list(range(stop + 6))
    assert [cursor.packs_total for _, cursor in straight] == list(range(1, stop + 7))


@given(filled, recipes, shares, st.integers(0, 8))
def test_ranks_together_take_the_next_packs_of_the_stream(
    sentences: Lengths, recipe: Recipe, share: Share, skipped: int
) -> None:
    corpus = ListCorpus(sentences)
    straight = list(islice(Stream(corpus, recipe).packs(Cursor()), skipped + share.packs_per_step))
    start = straight[skipped - 1][1] if skipped else Cursor()
    taken = {}
    total = 0
    for rank in range(share.world):
        micro_batches, cursor = Stream(corpus, recipe).step(start, replace(share, rank=rank))
        assert cursor == straight[-1][1]
        assert len(micro_batches) == share.accumulation
        for micro_batch in micro_batches:
            assert len(micro_batch) == share.micro_packs
            for pack in micro_batch:
                total += pack.fed_hash()
                if pack.weight:
                    assert pack.index not in taken
                    taken[pack.index] = pack
    expected = [pack for pack, _ in straight[skipped:]]
    assert sorted(taken) == [pack.index for pack in expected]
    assert all(same(taken[pack.index], pack) for pack in expected)
    # What an audit compares: the sum over ranks, and the sum over the stream.
    assert total % 2**64 == sum(pack.fed_hash() for pack in expected) % 2**64


@given(shares, shares)
def test_steps_are_the_same_whatever_the_world(one: Share, other: Share) -> None:
    """Two steps in one world and two in another, after a change of the world, go on alike."""
    corpus, recipe = realistic(12), a_recipe(seq_len=24, pack_tokens=60)
    other = replace(other, packs_per_step=one.packs_per_step)
    stream = Stream(corpus, recipe)
    _, first = stream.step(Cursor(), one)
    _, second = stream.step(first, other)
    assert stream.step(stream.step(Cursor(), other)[1], one)[1] == second


@given(shares)
def test_only_the_last_micro_batch_of_a_rank_runs_short(share: Share) -> None:
    slots = [replace(share, rank=rank).slots() for rank in range(share.world)]
    assert sorted(np.concatenate(slots, axis=None)[np.concatenate(slots, axis=None) >= 0]) == list(
        range(share.packs_per_step)
    )
    for found in slots:
        assert found.shape == (share.accumulation, share.micro_packs)
        assert (found[:-1] >= 0).all()
        assert (np.diff(found[-1] < 0) >= 0).all()
    assert share.accumulation == -(-share.packs_per_step // (share.world * share.micro_packs))


@pytest.mark.slow
@given(filled, recipes, st.integers(0, 3))
def test_windows_share_out_the_epochs_documents(
    sentences: Lengths, recipe: Recipe, epoch: int
) -> None:
    """A window is a function of its number alone: opened in any order, the stream has the same."""
    corpus = ListCorpus(sentences)
    num = num_windows(corpus.num_documents, recipe.window_documents)
    straight = iter(epoch_of(corpus, recipe, epoch))
    windows = [
        open_window(corpus, recipe, epoch=epoch, window=number, packs_before=0)
        for number in reversed(range(num))
    ]
    for window in reversed(windows):
        for number in range(len(window)):
            pack = next(straight)
            assert same(window.pack(number, index=pack.index), pack)
    assert next(straight, None) is None


@given(st.integers(1, 10**9), st.integers(1, 10**12))
def test_windows_of_an_epoch_are_of_one_size(num_documents: int, window: int) -> None:
    num = num_windows(num_documents, window)
    bounds = [num_documents * i // num for i in (0, 1, num // 2, num // 2 + 1, num - 1, num)]
    sizes = {bounds[i + 1] - bounds[i] for i in (0, 2, 4) if bounds[i + 1] > bounds[i]}
    assert max(sizes) - min(sizes) <= 1 or num == 2
    assert min(sizes) >= min(window, num_documents)


@pytest.mark.parametrize("seq_len", [128, 512])
def test_an_epoch_fills_its_packs(seq_len: int) -> None:
    corpus = realistic(4000, mean_sentences=30)
    documents = window_documents(num_documents=4000, num_tokens=corpus.num_tokens, pack_tokens=2048)
    recipe = a_recipe(seq_len=seq_len, pack_tokens=2048, window_documents=documents)
    packs = epoch_of(corpus, recipe, 0)
    assert sum(len(pack.tokens_T) for pack in packs) >= 0.99 * 2048 * len(packs)


def test_epochs_differ_in_order_and_hashes_but_not_in_text() -> None:
    corpus, recipe = realistic(30), a_recipe(seq_len=24, pack_tokens=100)
    one, other = epoch_of(corpus, recipe, 0), epoch_of(corpus, recipe, 1)
    assert not same(one[0], replace(other[0], index=0, epoch=0))
    again = replace(one[0], epoch=1)
    assert one[0].fed_hash() != again.fed_hash()
    assert replace(one[0], weight=0).fed_hash() == 0


def test_a_rank_that_runs_short_feeds_the_least_that_a_model_runs_on() -> None:
    pack = empty_pack(a_recipe().cutting.template, epoch=3)
    assert (pack.tokens_T.tolist(), pack.offsets_S1.tolist()) == ([CLS, SEP], [0, 2])
    assert (pack.weight, pack.fed_hash()) == (0, 0)
    bare = empty_pack(Template(prefix=(), middle=(), suffix=()), epoch=3)
    assert bare.offsets_S1.tolist() == [0, 1]


def test_a_corpus_without_a_token_is_refused() -> None:
    with pytest.raises(RequestError, match="no document"):
        Stream(ListCorpus([]), a_recipe())
    with pytest.raises(RequestError, match="None of the corpus's 9 documents"):
        next(Stream(ListCorpus([[], [0]] * 4 + [[]]), a_recipe()).packs(Cursor()))


@given(
    st.builds(Cursor, **dict.fromkeys(["epoch", "window", "packs_total"], st.integers(0, 2**60)))
)
def test_a_cursor_is_written_and_read_whole(cursor: Cursor) -> None:
    plain = cursor.to_plain()
    assert Cursor.from_plain(json.loads(json.dumps(plain))) == cursor
    torn = [{key: plain[key] for key in plain if key != name} for name in plain]
    others = [{**plain, name: value} for name in plain for value in (None, "1", 1.0, True, -1)]
    for wrong in (*torn, *others, {**plain, "pack": 2**61}, {**plain, "step": 1}, None, 7, []):
        with pytest.raises(RequestError, match=r"is no cursor|No run has a cursor"):
            Cursor.from_plain(wrong)


def test_a_cursor_of_another_stream_is_refused() -> None:
    stream = Stream(realistic(12), a_recipe())
    with pytest.raises(RequestError, match=r"window 3, .* an epoch has 3 windows"):
        next(stream.packs(Cursor(window=3)))
    with pytest.raises(RequestError, match=r"pack 999 .* that window has \d+ packs"):
        next(stream.packs(Cursor(pack=999, packs_total=999)))


def test_a_pack_that_cannot_hold_a_sample_is_refused() -> None:
    with pytest.raises(RequestError, match=r"batch.pack_tokens=15 is less than seq_len=16"):
        a_recipe(pack_tokens=15)
