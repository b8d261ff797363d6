"""Classes by entailment, also those that no training saw: does the text entail the hypothesis?

Each label makes a hypothesis. The head is that of a classification of NLI pairs, so that a model
tuned for MNLI (conf/task/mnli.yaml) answers without any training here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.settings.task import Task
from orchestrator.tasks.example import Example, Row
from orchestrator.tasks.features import Array, Builder, Features
from orchestrator.tasks.kinds.kind import (
    Columns,
    Kind,
    Predictions,
    chosen_classes,
    numbers_of,
    softmax,
)
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head

NLI = ("contradiction", "entailment", "neutral")  # the classes of the head, as MNLI's sorted


class Entailment(Kind):
    roles = ("text", "label")
    metrics = ("accuracy", "macro_f1")

    def read(self, row: Row, columns: Columns) -> Example:
        label = row.name(columns["label"])
        return Example(texts=(row.text(columns["text"]),), target=label, where=row.where)

    def class_names(self, target: str) -> Iterable[str]:
        return (target,)

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        texts = tokenizer.ids([example.texts[0] for example in examples])
        hypotheses = tokenizer.ids(
            [task.hypothesis.replace("{}", label) for label in labels.classes]
        )
        builder = Builder()
        for ids in texts:
            for hypothesis in hypotheses:
                builder.add(tokenizer.frame(ids, hypothesis, max_tokens=task.max_tokens))
            builder.end_example()
        classes_E = numbers_of((example.target for example in examples), labels.class_ids)
        return builder.build(of_examples={"choice": classes_E})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.several import EntailmentHead

        return EntailmentHead(width, len(NLI), entailment=NLI.index("entailment"), dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        scores_EL = outputs[0].reshape(len(examples), len(labels.classes))
        return chosen_classes(softmax(scores_EL), labels.classes)


ENTAILMENT = Entailment()
