"""Any number of several classes, of a text or a pair; each is decided by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example, Row
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions
from orchestrator.tasks.kinds.sentences import encode_sentences
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head


class Multilabel(Kind):
    roles = ("text", "pair", "labels")
    metrics = ("micro_f1", "macro_f1", "accuracy")

    def read(self, row: Row, columns: Columns) -> Example:
        names = frozenset(row.labels(columns["labels"]))
        return Example(texts=columns.texts(row), target=names, where=row.where)

    def class_names(self, target: frozenset[str]) -> Iterable[str]:
        return target

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        built = encode_sentences(examples, tokenizer, task)
        return built.build(of_examples={"classes": indicators(examples, labels)})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.sentence import MultilabelHead

        return MultilabelHead(width, len(labels.classes), dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        shares_EC = 1 / (1 + np.exp(-outputs[0].astype(np.float64)))
        is_said_EC = shares_EC > 0.5
        answers = tuple(
            frozenset(labels.classes[number] for number in np.flatnonzero(is_said))
            for is_said in is_said_EC
        )
        # As sure as of the class that it is least sure of.
        return Predictions(
            answers=answers,
            confidence_E=(abs(shares_EC - 0.5) + 0.5).min(axis=1),
            probabilities_EC=shares_EC,
        )


def indicators(examples: Sequence[Example], labels: Labels) -> Array:
    matrix_EC = np.zeros((len(examples), len(labels.classes)), np.float32)
    for number, example in enumerate(examples):
        matrix_EC[number, [labels.class_ids[name] for name in example.target]] = 1
    return matrix_EC


MULTILABEL = Multilabel()
