"""Which documents are left out, whatever parts they come in."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Sequence
from functools import partial
from itertools import chain, pairwise
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.corpus.text.duplicates import find_duplicates, sign
from orchestrator.corpus.text.read import Document
from orchestrator.settings.bundled import bundled
from orchestrator.settings.corpus import Corpus, Duplicates, Source, SourceKind

pytestmark = pytest.mark.slow

# Few words, so that many documents are alike; é in both its forms, and several kinds of space.
WORDS = st.sampled_from(["a", "b", "c", "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\u0301"])
SPACES = st.sampled_from([" ", "  ", "\n", "\t", "\N{NO-BREAK SPACE}"])
TEXTS = st.lists(st.tuples(WORDS, SPACES), min_size=1, max_size=12).map(
    lambda words: "".join(word + space for word, space in words)
)
DOCUMENTS = st.lists(TEXTS.map(lambda text: [Document(text=text)]), max_size=12)
# A document divided for its length: its first piece, and others.
DIVIDED = st.lists(
    st.lists(st.sampled_from(["x y z", "u v w"]), min_size=1, max_size=3).map(
        lambda pieces: [Document(text=text, is_rest=at > 0) for at, text in enumerate(pieces)]
    ),
    max_size=10,
)
KINDS = st.sampled_from([Duplicates.EXACT, Duplicates.NEAR])


def corpus(duplicates: Duplicates, similarity: float = 0.8) -> Corpus:
    sources = {"one": Source(kind=SourceKind.TEXT, path=("x",))}
    return Corpus(name="c", sources=sources, duplicates=duplicates, near_similarity=similarity)


def left_out(parts: Sequence[Sequence[Document]], settings: Corpus) -> list[tuple[int, int]]:
    """(part, piece) of what is to be left out."""
    reads = [partial(sign, part, settings) for part in parts]
    found = find_duplicates(reads, settings)
    assert len(found) == len(parts)
    return [(part, int(row)) for part, rows in enumerate(found) for row in rows]


def numbers_left_out(
    documents: Sequence[Sequence[Document]], settings: Corpus, cuts: Sequence[int] = ()
) -> set[int]:
    """The numbers of the documents left out, each a list of pieces, with parts that end at cuts."""
    ends = [0, *sorted(cut % (len(documents) + 1) for cut in cuts), len(documents)]
    parts = [list(chain(*documents[begin:end])) for begin, end in pairwise(ends)]
    out = set(left_out(parts, settings))
    numbers = set()
    for part, (begin, end) in enumerate(pairwise(ends)):
        row = 0
        for number in range(begin, end):
            pieces = {(part, row + at) for at in range(len(documents[number]))}
            assert not out & pieces or pieces <= out
            numbers |= {number} if pieces <= out else set()
            row += len(pieces)
    return numbers


def same(pieces: Sequence[Document]) -> tuple[str, ...]:
    return tuple(" ".join(normalize("NFC", piece.text).split()) for piece in pieces)


@given(DOCUMENTS | DIVIDED)
def test_exact_keeps_the_first_of_the_same_texts(documents: list[list[Document]]) -> None:
    texts = [same(document) for document in documents]
    later = {at for at, text in enumerate(texts) if text in texts[:at]}
    assert numbers_left_out(documents, corpus(Duplicates.EXACT)) == later


@settings(max_examples=12)
@given(DOCUMENTS | DIVIDED, KINDS, st.lists(st.integers(0, 99), max_size=4))
def test_the_division_into_parts_changes_nothing(
    documents: list[list[Document]], kind: Duplicates, cuts: list[int]
) -> None:
    wanted = corpus(kind, 0.5)
    assert numbers_left_out(documents, wanted, cuts) == numbers_left_out(documents, wanted)


@settings(max_examples=12)
@given(DOCUMENTS | DIVIDED, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_near_leaves_out_what_exact_does_and_keeps_the_first(
    documents: list[list[Document]], similarity: float
) -> None:
    near = numbers_left_out(documents, corpus(Duplicates.NEAR, similarity))
    assert numbers_left_out(documents, corpus(Duplicates.EXACT)) <= near
    assert 0 not in near


@settings(max_examples=12)
@given(DOCUMENTS | DIVIDED, KINDS)
def test_what_is_left_has_no_duplicates(documents: list[list[Document]], kind: Duplicates) -> None:
    wanted = corpus(kind, 0.5)
    out = numbers_left_out(documents, wanted)
    left = [document for at, document in enumerate(documents) if at not in out]
    assert numbers_left_out(left, wanted) == set()


@pytest.mark.parametrize("kind", [Duplicates.EXACT, Duplicates.NEAR])
def test_the_pieces_of_a_divided_document_stay_or_go_together(kind: Duplicates) -> None:
    book = [
        Document(text=text, is_rest=at > 0) for at, text in enumerate(["one a b", "x y z", "t"])
    ]
    alike = [
        Document(text="one a b"),
        Document(text="other c d"),
        Document(text="x y z", is_rest=True),
    ]
    parts = [book, [*alike, *book]]
    assert left_out(parts, corpus(kind)) == [(1, 3), (1, 4), (1, 5)]


@pytest.mark.parametrize(
    ("text", "other"),
    [("Ren\u00e9 is here", "Rene\u0301 is here"), ("a b\nc", "\N{NO-BREAK SPACE}a  b c\t")],
)
def test_the_forms_of_letters_and_the_kinds_of_space_do_not_count(text: str, other: str) -> None:
    assert left_out([[Document(text=text), Document(text=other)]], corpus(Duplicates.EXACT)) == [
        (0, 1)
    ]


def test_capitals_count_for_exact_alone() -> None:
    parts = [[Document(text="One or Two"), Document(text="one or two")]]
    assert left_out(parts, corpus(Duplicates.EXACT)) == []
    assert left_out(parts, corpus(Duplicates.NEAR)) == [(0, 1)]


def test_signatures_are_the_same_bytes_each_time() -> None:
    documents = [Document(text="some words in a row"), Document(text="rest", is_rest=True)]
    for kind in (Duplicates.EXACT, Duplicates.NEAR):
        assert sign(documents, corpus(kind)) == sign(iter(documents), corpus(kind))


# ----- how well near duplicates are found


def changed(units: Sequence[str], share: float, seed: int) -> list[str]:
    """Some of the units, chosen by lot, replaced by ones that occur nowhere else."""
    lots = random.Random(seed)
    chosen = set(lots.sample(range(len(units)), round(share * len(units))))
    return [f"«{at}»" if at in chosen else unit for at, unit in enumerate(units)]


@pytest.fixture(scope="module")
def real() -> list[str]:
    with lzma.open(bundled("data") / "factbook.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [
            " ".join(json.loads(line)["text"]) for line, _ in zip(lines, range(40), strict=False)
        ]


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 1.0, 1.0), (0.015, 1.0, 1.0), (0.08, 0.0, 0.0)]
)
def test_copies_with_few_words_changed_are_found(
    real: list[str], share: float, least: float, most: float
) -> None:
    """At 0.8: with 1.5 % of the words changed 0.91 of the triples are common, with 8 % 0.64."""
    copies = [" ".join(changed(text.split(), share, at)) for at, text in enumerate(real)]
    parts = [[Document(text=text) for text in texts] for texts in (real, copies)]
    found = left_out(parts, corpus(Duplicates.NEAR))
    assert least <= len(found) / len(copies) <= most
    assert all(part == 1 for part, _ in found)


def test_a_language_without_spaces_is_compared_by_characters() -> None:
    lots = random.Random(0)
    text = "".join(chr(lots.randrange(0x4E00, 0x5200)) for _ in range(2000))
    at = 1000
    near = text[:at] + "新" + text[at + 1 :]
    other = "".join(lots.sample(text, len(text)))
    parts = [[Document(text=one) for one in (text, near, other)]]
    assert left_out(parts, corpus(Duplicates.NEAR)) == [(0, 1)]


def test_many_copies_are_all_found_and_only_they() -> None:
    """A bucket of many does not make all pairs, and still none is missed."""
    lots = random.Random(1)
    page = [str(lots.random()) for _ in range(200)]
    copies = [Document(text=" ".join(changed(page, 0.005, at))) for at in range(300)]
    others = [Document(text=" ".join(str(lots.random()) for _ in range(200))) for _ in range(300)]
    mixed = [document for pair in zip(copies, others, strict=True) for document in pair]
    assert left_out([mixed], corpus(Duplicates.NEAR)) == [(0, at) for at in range(2, 600, 2)]
