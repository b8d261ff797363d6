"""Multiple choice: which of several texts goes with the first? Each is a pair of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.features import Array, Builder, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions, softmax
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head


class Choice(Kind):
    """The label is the number of the right one, from 0. A column `lead` begins every choice."""

    roles = ("text", "lead", "choices", "label")
    metrics = ("accuracy",)

    def read(self, row: Row, columns: Columns) -> Example:
        several = columns.several("choices")
        if several is not None:
            choices = tuple(row.text(column) for column in several)
        else:
            value = row.value(columns["choices"])
            if not isinstance(value, list | tuple) or not all(isinstance(it, str) for it in value):
                raise BadRow("is not a list of texts.", shown=f"choices={value!r}"[:80])
            choices = tuple(value)
        if "lead" in columns:
            lead = row.text(columns["lead"])
            choices = tuple(f"{lead} {choice}" for choice in choices)
        label = row.name(columns["label"])
        if not label.isdecimal() or int(label) >= len(choices):
            rule = f"is not the number of a choice: 0 to {len(choices) - 1}."
            raise BadRow(rule, shown=f"label={label}")
        texts = (row.text(columns["text"]), *choices)
        return Example(texts=texts, target=int(label), where=row.where)

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        ids = iter(tokenizer.ids([text for example in examples for text in example.texts]))
        builder = Builder()
        for example in examples:
            first = next(ids)
            for _ in example.texts[1:]:
                builder.add(tokenizer.frame(first, next(ids), max_tokens=task.max_tokens))
            builder.end_example()
        chosen_E = np.array([example.target for example in examples], np.int64)
        return builder.build(of_examples={"choice": chosen_E})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.several import ChoiceHead

        return ChoiceHead(width, dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        shares = [softmax(scores) for scores in np.split(outputs[0], features.samples_E1[1:-1])]
        return Predictions(
            answers=tuple(int(share.argmax()) for share in shares),
            confidence_E=np.array([share.max() for share in shares]),
        )


CHOICE = Choice()
