from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.packs.cut import cut
from orchestrator.corpus.packs.pack import pack
from orchestrator.corpus.packs.stream import Cursor, Stream
from orchestrator.corpus.packs.window import Phase, Recipe, open_window
from orchestrator.errors import RequestError
from tests.corpus.packs.synthetic import (
    NUM_SPECIAL,
    Lengths,
    ListCorpus,
    a_recipe,
    ids,
    pairings,
    realistic,
    same,
    seeds,
)

phases = st.lists(
    st.tuples(st.integers(1, 12), st.integers(5, 24)), max_size=2, unique_by=lambda phase: phase[0]
).map(lambda found: tuple(Phase(from_packs=n, seq_len=length) for n, length in sorted(found)))
# Short ones, so that an epoch is few packs.
documents = st.lists(st.lists(st.integers(0, 12), max_size=6), min_size=1, max_size=12).filter(
    lambda sentences: any(map(sum, sentences))
)
recipes = st.builds(
    a_recipe,
    seed=seeds,
    seq_len=st.integers(5, 24),
    window_documents=st.integers(2, 8),
    pairing=pairings,
    phases=phases,
)


@given(documents, recipes, st.randoms(use_true_random=False))
def test_a_window_is_the_same_for_any_order_of_its_documents(
    sentences: Lengths, recipe: Recipe, random: object
) -> None:
    corpus = ListCorpus(sentences)
    order = list(range(corpus.num_documents))
    random.shuffle(order)
    found = []
    for indices in (np.arange(corpus.num_documents), np.asarray(order)):
        samples = cut(corpus.read(indices), recipe.cutting, 1)
        packing = pack(samples.sizes_S, samples.ids_S, pack_tokens=40, seed=3, epoch=1)
        samples_P = map(packing.samples_of, range(len(packing)))
        found.append([samples.ids_S[chosen].tolist() for chosen in samples_P])
    assert found[0] == found[1]


@given(documents, recipes, st.integers(0, 40))
def test_a_pack_feeds_what_its_window_says(
    sentences: Lengths, recipe: Recipe, packs_before: int
) -> None:
    corpus = ListCorpus(sentences)
    window = open_window(corpus, recipe, epoch=2, window=0, packs_before=packs_before)
    for number in range(len(window)):
        one, fed = window.pack(number, index=0), window.fed(number)
        assert fed.hash == one.fed_hash()
        assert (fed.num_samples, fed.num_tokens) == (len(one.ids_S), len(one.tokens_T))


@given(documents, recipes)
def test_an_epoch_has_every_token_once_across_a_change_of_length(
    sentences: Lengths, recipe: Recipe
) -> None:
    corpus = ListCorpus(sentences)
    packs = []
    for one, cursor in Stream(corpus, recipe).packs(Cursor()):
        if one.epoch > 1 or cursor.packs_total > 150:
            break
        packs.append(one)
    for epoch in range(packs[-1].epoch):  # the last may have been broken off
        own = [one for one in packs if one.epoch == epoch]
        tokens = np.concatenate([one.tokens_T for one in own])
        text = np.sort(tokens[tokens >= NUM_SPECIAL])
        assert np.array_equal(text, np.arange(corpus.num_tokens) + NUM_SPECIAL)
        assert len(set(ids(own))) == len(ids(own))


@pytest.mark.slow
@given(documents, recipes)
def test_a_resume_at_any_place_goes_on_in_the_length_of_its_window(
    sentences: Lengths, recipe: Recipe
) -> None:
    """Before, at and after each change."""
    corpus = ListCorpus(sentences)
    straight = list(islice(Stream(corpus, recipe).packs(Cursor()), 18))
    cursors = [Cursor(), *(cursor for _, cursor in straight)]
    for change in [1, *(phase.from_packs for phase in recipe.phases)]:
        for stop in (change - 1, change, change + 2):
            again = islice(Stream(corpus, recipe).packs(cursors[stop]), 4)
            for (one, one_cursor), (other, other_cursor) in zip(
                straight[stop : stop + 4], again, strict=True
            ):
                assert same(one, other) and one_cursor == other_cursor


def test_a_phase_begins_with_the_first_window_that_opens_in_it() -> None:
    corpus = realistic(60)
    recipe = a_recipe(
        seq_len=16,
        pack_tokens=64,
        window_documents=3,
        phases=(Phase(from_packs=100, seq_len=64), Phase(from_packs=200, seq_len=24)),
    )
    longest: dict[int, int] = {}  # by where the window opened
    for one, cursor in islice(Stream(corpus, recipe).packs(Cursor()), 600):
        opened = cursor.opening.packs_total
        longest[opened] = max(longest.get(opened, 0), int(np.diff(one.offsets_S1).max()))
    lengths = [16, 64, 24]
    for opened, length in longest.items():
        assert length <= lengths[np.searchsorted([100, 200], opened, side="right")]
    found = [[longest[at] for at in longest if a <= at < b] for a, b in ((0, 100), (200, 600))]
    assert max(found[0]) == 16 and max(found[1]) == 24
    assert max(length for at, length in longest.items() if 100 <= at < 200) == 64


def test_a_window_that_opens_at_the_change_is_of_the_new_length() -> None:
    corpus = realistic(12)
    cursors = (cursor for _, cursor in Stream(corpus, a_recipe()).packs(Cursor()))
    opened = next(cursor.opening for cursor in cursors if cursor.window == 1).packs_total
    for change, length in ((opened, 40), (opened + 1, 16)):
        recipe = a_recipe(phases=(Phase(from_packs=change, seq_len=40),))
        packs = [one for one, _ in islice(Stream(corpus, recipe).packs(Cursor()), opened + 20)]
        lengths = [int(np.diff(one.offsets_S1).max()) for one in packs]
        assert max(lengths[:opened]) == 16 and max(lengths[opened:]) == length


def test_a_change_of_length_leaves_windows_and_their_documents_alone() -> None:
    corpus, plain = realistic(40), a_recipe(pack_tokens=64)
    phased = a_recipe(pack_tokens=64, phases=(Phase(from_packs=1, seq_len=64),))
    for number in range(10):
        windows = [
            open_window(corpus, recipe, epoch=3, window=number, packs_before=50)
            for recipe in (plain, phased)
        ]
        texts = [
            np.concatenate([window.pack(i, index=0).tokens_T for i in range(len(window))])
            for window in windows
        ]
        assert windows[0].fed(0) != windows[1].fed(0)
        assert np.array_equal(*(np.sort(text[text >= NUM_SPECIAL]) for text in texts))


def test_phases_that_make_no_sense_are_refused() -> None:
    for begins in ((0,), (9, 9), (9, 3)):
        with pytest.raises(RequestError, match="each must begin after"):
            a_recipe(phases=tuple(Phase(from_packs=begin, seq_len=16) for begin in begins))
    with pytest.raises(RequestError, match=r"batch.pack_tokens=40 is less than seq_len=41"):
        a_recipe(phases=(Phase(from_packs=9, seq_len=41),))
    with pytest.raises(RequestError, match=r"seq_len=2 leaves 0 tokens"):
        a_recipe(phases=(Phase(from_packs=9, seq_len=2),))
