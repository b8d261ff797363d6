"""Multiple choice: which of several texts goes with the first? Each is a pair of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row, listed_in
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
            choices = _listed(row, columns["choices"])
        if len(choices) < 2:
            raise BadRow("is nothing to choose from.", shown=f"choices={list(choices)}"[:80])
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


def _listed(row: Row, column: str) -> tuple[str, ...]:
    value = row.value(column)
    listed = listed_in(value) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(item, str) for item in listed):
        raise BadRow("is not a list of texts.", shown=f"{column}={value!r}"[:80])
    if not all(item.strip() for item in listed):
        raise BadRow("has an empty text.", shown=f"{column}={value!r}"[:80])
    return tuple(listed)


CHOICE = Choice()
