"""A tag for every word: parts of speech, or entities as B-, I- and O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example, Row
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions, numbers_of, softmax
from orchestrator.tasks.kinds.words import encode_words, read_words
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head


class Tagging(Kind):
    roles = ("words", "tags")
    metrics = ("tag_accuracy", "entity_f1")

    def read(self, row: Row, columns: Columns) -> Example:
        words, tags = read_words(row, columns["words"], columns["tags"])
        return Example(texts=words, target=tags, where=row.where)

    def tag_names(self, target: tuple[str, ...]) -> Iterable[str]:
        return target

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        tags_P = numbers_of((tag for one in examples for tag in one.target), labels.tag_ids)
        return encode_words(examples, tokenizer, task).build(of_places={"tag": tags_P})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.token import TagHead

        return TagHead(width, len(labels.tags), dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        answers, confidence_E = tagged(outputs[0], examples, labels)
        return Predictions(answers=answers, confidence_E=confidence_E)


def tagged(
    scores_PC: Array, examples: Sequence[Example], labels: Labels
) -> tuple[tuple[tuple[str, ...], ...], Array]:
    """The likeliest tag of each word; an example is as sure as its words are on average."""
    shares_PC = softmax(scores_PC)
    bounds = np.cumsum([len(example.texts) for example in examples])[:-1]
    best_E = np.split(shares_PC.argmax(axis=1), bounds)
    sure_E = np.split(shares_PC.max(axis=1), bounds)
    answers = tuple(tuple(labels.tags[number] for number in best) for best in best_E)
    return answers, np.array([sure.mean() for sure in sure_E])


TAGGING = Tagging()
