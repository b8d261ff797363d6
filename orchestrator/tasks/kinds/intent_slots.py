"""What somebody wants and the words that say with what: a class and tags, by one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example, Row
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions, numbers_of, softmax
from orchestrator.tasks.kinds.tagging import tagged
from orchestrator.tasks.kinds.words import encode_words, read_words
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head

Target = tuple[str, tuple[str, ...]]  # the intent, the tags


class IntentSlots(Kind):
    roles = ("words", "tags", "intent")
    metrics = ("frame_accuracy", "intent_accuracy", "entity_f1")

    def read(self, row: Row, columns: Columns) -> Example:
        words, tags = read_words(row, columns["words"], columns["tags"])
        intent = row.name(columns["intent"])
        return Example(texts=words, target=(intent, tags), where=row.where)

    def class_names(self, target: Target) -> Iterable[str]:
        return target[:1]

    def tag_names(self, target: Target) -> Iterable[str]:
        return target[1]

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        tags_P = numbers_of((tag for one in examples for tag in one.target[1]), labels.tag_ids)
        classes_E = numbers_of((example.target[0] for example in examples), labels.class_ids)
        built = encode_words(examples, tokenizer, task)
        return built.build(of_examples={"class": classes_E}, of_places={"tag": tags_P})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.token import JointHead

        return JointHead(width, len(labels.classes), len(labels.tags), dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        shares_EC = softmax(outputs[0])
        tags, sure_E = tagged(outputs[1], examples, labels)
        intents = (labels.classes[number] for number in shares_EC.argmax(axis=1).tolist())
        return Predictions(
            answers=tuple(zip(intents, tags, strict=True)),
            confidence_E=shares_EC.max(axis=1) * sure_E,
            probabilities_EC=shares_EC,
        )


INTENT_SLOTS = IntentSlots()
