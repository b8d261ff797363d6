from __future__ import annotations

import json
from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.corpus.shards.statistics import Statistics
from tests.corpus.packs.synthetic import Lengths, documents
from tests.corpus.shards.synthetic import rows_of

UNKNOWN = 17  # the eighth token of every such corpus


def statistics_of(sentences: Lengths) -> Statistics:
    found = Statistics.of(rows_of(sentences), UNKNOWN)
    for number, lengths in enumerate(sentences):
        found = found.add_text(3 * sum(lengths), is_rest=number % 3 == 1)
    return found


@given(documents)
def test_figures_are_those_of_the_documents(sentences: Lengths) -> None:
    found = statistics_of(sentences)
    lengths = [sum(document) for document in sentences]
    assert found.documents == len(sentences) == sum(found.document_lengths)
    assert found.sentences == sum(map(len, sentences)) == sum(found.sentence_lengths)
    assert (found.tokens, found.longest) == (sum(lengths), max(lengths))
    assert (found.text_bytes, found.divided) == (3 * sum(lengths), (len(sentences) + 1) // 3)
    assert found.unknown == (sum(lengths) > 7)
    for counts, values in (
        (found.document_lengths, lengths),
        (found.sentence_lengths, [length for document in sentences for length in document]),
    ):
        for number, count in enumerate(counts):
            low, high = (0, 0) if number == 0 else (2 ** (number - 1), 2**number - 1)
            assert count == sum(low <= value <= high for value in values)


@given(documents, documents, documents)
def test_parts_add_up_in_any_grouping_and_order(one: Lengths, two: Lengths, three: Lengths) -> None:
    first, second, third = map(statistics_of, (one, two, three))
    assert (first + second) + third == first + (second + third)
    assert first + second == second + first
    assert first + Statistics() == first == Statistics() + first


@given(documents, st.integers(0, 25))
def test_a_corpus_has_the_figures_of_its_parts_together(sentences: Lengths, cut: int) -> None:
    cut = min(cut, len(sentences))
    parts = [rows_of(sentences, 0, cut), rows_of(sentences, cut)]
    whole = reduce(add, (Statistics.of(part, UNKNOWN) for part in parts))
    assert whole == Statistics.of(rows_of(sentences), UNKNOWN)


@given(documents)
def test_figures_come_back_from_json(sentences: Lengths) -> None:
    found = statistics_of(sentences)
    assert Statistics.from_plain(json.loads(json.dumps(found.to_plain()))) == found
