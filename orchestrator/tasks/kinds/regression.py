"""A score, of a text or a pair, through one encoder pass over both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.settings.task import Task
from orchestrator.tasks.example import BadRow, Example, Row
from orchestrator.tasks.features import Array, Features
from orchestrator.tasks.kinds.kind import Columns, Kind, Predictions
from orchestrator.tasks.kinds.sentences import encode_sentences
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.tokens import TaskTokenizer

if TYPE_CHECKING:
    from orchestrator.tasks.heads.head import Head

_LARGEST = float(np.finfo(np.float32).max)


class Regression(Kind):
    roles = ("text", "pair", "score")
    metrics = ("spearman", "pearson", "mean_squared_error")

    def read(self, row: Row, columns: Columns) -> Example:
        score = read_score(row, columns["score"])
        return Example(texts=columns.texts(row), target=score, where=row.where)

    def encode(
        self, examples: Sequence[Example], labels: Labels, tokenizer: TaskTokenizer, task: Task
    ) -> Features:
        scores_E = np.array([example.target for example in examples], np.float32)
        built = encode_sentences(examples, tokenizer, task)
        return built.build(of_examples={"score": scores_E})

    def make_head(self, width: int, labels: Labels, task: Task, *, dropout: float) -> Head:
        from orchestrator.tasks.heads.sentence import ScoreHead

        return ScoreHead(width, dropout=dropout)

    def decode(
        self,
        outputs: tuple[Array, ...],
        features: Features,
        examples: Sequence[Example],
        labels: Labels,
        task: Task,
    ) -> Predictions:
        return scored(outputs[0])


def scored(scores_E: Array) -> Predictions:
    return Predictions(
        answers=tuple(scores_E.astype(np.float64).tolist()),
        confidence_E=np.full(len(scores_E), np.nan),
    )


def read_score(row: Row, column: str) -> float:
    value = row.value(column)
    try:
        score = float(value)
    except OverflowError:  # of a whole number
        score = math.inf
    except (TypeError, ValueError) as err:
        raise BadRow("is not a number.", shown=f"{column}={value!r}"[:80]) from err
    if not math.isfinite(score) or abs(score) > _LARGEST:
        raise BadRow("is not a finite number in fp32.", shown=f"{column}={value}"[:80])
    return score


REGRESSION = Regression()
