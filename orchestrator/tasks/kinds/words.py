"""Words as samples: a sentence longer than a sample goes on in a further one, so none is lost.

A word is read at its first piece. Tagging and intents with slots call this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.features import Builder
from orchestrator.tasks.tokens import Ids, TaskTokenizer


def read_words(row: Row, words_column: str, tags_column: str) -> tuple[tuple[str, ...], ...]:
    words, tags = row.names(words_column), row.names(tags_column)
    if len(words) != len(tags):
        raise BadRow("have different lengths.", shown=f"{len(words)} words and {len(tags)} tags")
    if not words:
        raise BadRow("is empty.", shown=words_column)
    return words, tags


def encode_words(examples: Sequence[Example], tokenizer: TaskTokenizer, task: Task) -> Builder:
    room = task.max_tokens - tokenizer.frame_size(is_pair=False)
    builder = Builder()
    for words in tokenizer.words(example.texts for example in examples):
        for ids, begins, is_cut in _divided(words, room):
            sample = tokenizer.frame(ids, None, max_tokens=task.max_tokens)
            builder.add(sample, [sample.first_at + begin for begin in begins])
            builder.cut[-1] = is_cut
        builder.end_example()
    return builder


def _divided(words: list[Ids], room: int) -> Iterator[tuple[Ids, list[int], bool]]:
    """Tokens of a sample, where its words begin in them, and whether a word alone was too long."""
    ids: Ids = []
    begins: list[int] = []
    is_cut = False
    for word in words:
        if begins and len(ids) + len(word) > room:
            yield ids, begins, is_cut
            ids, begins, is_cut = [], [], False
        begins.append(len(ids))
        is_cut |= len(word) > room
        ids = ids + word[:room]
    yield ids, begins, is_cut
