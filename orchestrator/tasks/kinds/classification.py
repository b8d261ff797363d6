"""One of several classes, of a text or a pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example, Row
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.kinds.kind import (
    Columns,
    Kind,
    Predictions,
    chosen_classes,
    numbers_of,
    softmax,
)
from orchestrator.tasks.kinds.sentences import encode_sentences
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head


class Classification(Kind):
    roles = ("text", "pair", "label")
    metrics = ("accuracy", "macro_f1")

    def read(self, row: Row, columns: Columns) -> Example:
        label = row.name(columns["label"])
        return Example(texts=columns.texts(row), target=label, where=row.where)

    def class_names(self, target: str) -> Iterable[str]:
        return (target,)

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        classes_E = numbers_of((example.target for example in examples), labels.class_ids)
        built = encode_sentences(examples, tokenizer, task)
        return built.build(of_examples={"class": classes_E})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.sentence import ClassHead

        return ClassHead(width, len(labels.classes), dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        return chosen_classes(softmax(outputs[0]), labels.classes)


CLASSIFICATION = Classification()
