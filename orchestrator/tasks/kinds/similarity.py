"""Sentence embeddings: two texts are read apart, and the angle between them is the score.

Without training it says how good an encoder's embeddings are. `task.pooling` says what stands for
a text. Scores of training are scaled to 0 … 1, as cosines of similar texts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.features import Array, Builder, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions
from orchestrator.tasks.kinds.regression import read_score, scored
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head


class Similarity(Kind):
    roles = ("text", "pair", "score")
    metrics = ("spearman", "pearson")

    def read(self, row: Row, columns: Columns) -> Example:
        texts = (row.text(columns["text"]), row.text(columns["pair"]))
        score = read_score(row, columns["score"])
        if score < 0:
            raise BadRow("is less than 0; similarities begin there.", shown=f"score={score:g}")
        return Example(texts=texts, target=score, where=row.where)

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        scores_E = np.array([example.target for example in examples], np.float32)
        firsts = tokenizer.ids([example.texts[0] for example in examples])
        seconds = tokenizer.ids([example.texts[1] for example in examples])
        builder = Builder()
        for pair in zip(firsts, seconds, strict=True):
            for ids in pair:
                sample = tokenizer.frame(ids, None, max_tokens=task.max_tokens)
                builder.add(sample, range(len(sample.tokens)))
            builder.end_example()
        highest = max(scores_E.max(initial=0.0), 1e-9)
        return builder.build(of_examples={"cosine": scores_E / highest})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.sentence import CosineHead

        return CosineHead(task.pooling)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        return scored(outputs[0])


SIMILARITY = Similarity()
