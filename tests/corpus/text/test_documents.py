from __future__ import annotations

import re
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.text import documents
from orchestrator.corpus.text.documents import Document, Draft, Stretch, Texts

LINES = st.lists(st.text("ab. ", max_size=8), min_size=1, max_size=30)
SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def drafted(lines: list[str], limit: int, sizes: list[int]) -> list[Document]:
    """A document whose text comes in pieces of the sizes given, within lines or over several."""
    draft = Draft(limit)
    text = "\n".join(lines)
    pieces: list[Document] = []
    at = number = 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        draft.add(text[at : at + size].split("\n"), is_same_line=True)
        pieces += draft.pieces() if draft.is_long else ()
        at, number = at + size, number + 1
    return [*pieces, *draft.finish()]


@given(lines=LINES, limit=st.integers(2, 12), sizes=SIZES)
def test_the_pieces_of_a_long_document_are_all_of_it_however_it_comes(
    lines: list[str], limit: int, sizes: list[int]
) -> None:
    pieces = drafted(lines, limit, sizes)
    assert pieces == drafted(lines, limit, [10**6])
    assert all(piece.text.strip() and len(piece.text) <= limit for piece in pieces)
    assert [piece.is_rest for piece in pieces] == [number > 0 for number in range(len(pieces))]
    kept = "".join(piece.text for piece in pieces)
    assert "".join(kept.split()) == "".join("".join(lines).split())


def test_a_long_document_is_cut_at_the_best_place_there_is() -> None:
    for text, cut in (
        ("One two. Three\nfour five six", "One two. Three\n"),
        ("One. Two three. Four five six", "One. Two three. "),
        ("一二三四五六七八九十。一二三四五六七八九十", "一二三四五六七八九十。"),
        ("one two three four five six", "one two three four "),
        ("onetwothreefourfivesixseven", "onetwothreefourfives"),
        ("a\nonetwothreefourfivesixseven", "a\nonetwothreefourfiv"),  # too early to be good
    ):
        assert drafted([text], 20, [3])[0].text == cut


def test_what_is_only_white_space_is_no_document_and_no_first_piece() -> None:
    assert drafted(["  ", "\t", ""], 100, [1]) == []
    pieces = drafted([" " * 30 + "word"], 10, [4])
    assert [(piece.text.strip(), piece.is_rest) for piece in pieces] == [("word", False)]


# ----- where documents begin and end, however lines come together


@st.composite
def batches(draw: st.DrawFn, lines: list[str]) -> list[Texts]:
    """The lines in some batches; long ones may go on from one batch to the next."""
    made: list[Texts] = []
    items: list[str] = []
    for line in lines:
        cut = draw(st.integers(1, len(line))) if line.strip() else 0
        if cut and line[:cut].strip() and draw(st.booleans()):
            made.append(Texts(items=[*items, line[:cut]], is_open=True))
            items = [line[cut:]]
        else:
            items.append(line)
        if draw(st.booleans()):
            made.append(Texts(items=items))
            items = []
    return [*made, Texts(items=items)]


def joined(groups: Iterable[list[str]]) -> list[str]:
    return [text for group in groups if (text := "\n".join(group)).strip()]


@given(data=st.data(), lines=st.lists(st.sampled_from(["a b", "# c", "#", "", " ", "d"])))
def test_documents_do_not_depend_on_how_lines_come(data: st.DataObject, lines: list[str]) -> None:
    def stretch() -> Stretch:
        return Stretch(own=iter(data.draw(batches(lines))))

    def found(made: Iterable[Document]) -> list[str]:
        return [document.text for document in made]

    assert found(documents.each(stretch())) == [line for line in lines if line.strip()]
    assert found(documents.whole(stretch())) == joined([lines])
    between: list[list[str]] = [[]]
    started: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            between[-1].append(line)
        else:
            between.append([])
        if line.startswith("#"):
            started.append([])
        started[-1].append(line)
    assert found(documents.blocks(stretch())) == joined(between)
    assert found(documents.started(stretch(), re.compile("#"))) == joined(started)
