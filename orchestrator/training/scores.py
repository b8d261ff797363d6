"""How good a model is at its task, measured by all ranks together: no example is counted twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from torch import distributed

from orchestrator.corpus.arrays import Int64s
from orchestrator.runs.samples import MOST, Sample
from orchestrator.settings.task import VALIDATION, Task
from orchestrator.tasks.example import Example, plain_of
from orchestrator.tasks.features import Array
from orchestrator.tasks.kinds.kind import Predictions, kind_of
from orchestrator.tasks.labels import Labels
from orchestrator.tasks.metrics.metric import measure, metrics_of, outcome_of
from orchestrator.tasks.packed import pack
from orchestrator.tasks.predict import AT_ONCE, assembled
from orchestrator.tasks.prepared import Portion
from orchestrator.training.material import Measured
from orchestrator.training.passes import TaskBatch
from orchestrator.training.port import WorkerPort

_MOST_LETTERS, _MOST_TEXTS = 1000, 64  # of what is shown of an example: tagging has a text a word

Score = Callable[[TaskBatch], Any]
_Part = tuple[int, tuple[Array, ...], float, int]  # of a group: outputs, sum of losses, their count


class Scores:
    def __init__(self, port: WorkerPort, task: Task, labels: Labels, score: Score) -> None:
        self._port, self._task, self._labels, self._score = port, task, labels, score

    def validation(self, splits: dict[str, Portion], count: Callable[[Any], int]) -> Measured:
        """The first metric of the first split is what models are chosen by."""
        values: dict[str, float] = {}
        samples: tuple[Sample, ...] = ()
        for name, portion in splits.items():
            prefix = "eval" if name == VALIDATION else f"eval/{name}"
            found, told = self._measure(portion, count)
            samples = samples or told
            values |= {f"{prefix}/{metric}": value for metric, value in found.items()}
        chooser = metrics_of(self._task)[0]
        value = values[f"eval/{chooser.name}"]
        return Measured(values=values, loss=value if chooser.is_loss else -value, samples=samples)

    def measure(self, portion: Portion, count: Callable[[Any], int]) -> dict[str, float]:
        """The task's metrics and the mean loss; the same on all ranks."""
        return self._measure(portion, count)[0]

    def _measure(
        self, portion: Portion, count: Callable[[Any], int]
    ) -> tuple[dict[str, float], tuple[Sample, ...]]:
        """And on rank 0 what was said of the first examples."""
        features = portion.features
        order_E = np.argsort(-features.tokens_E, kind="stable")
        groups = list(features.groups(order_E, max_tokens=AT_ONCE))
        parts = self._gathered(self._parts(groups, portion, count))
        words: list[Any] = [None]
        samples: tuple[Sample, ...] = ()
        if self._port.rank == 0:
            parts.sort(key=lambda part: part[0])
            outputs = assembled([part[1] for part in parts], order_E, features)
            predictions = kind_of(self._task).decode(
                outputs, features, portion.examples, self._labels, self._task
            )
            values = measure(self._task, outcome_of(portion.examples, predictions, self._labels))
            loss = sum(part[2] for part in parts) / max(sum(part[3] for part in parts), 1)
            words = [values | {"loss": loss}]
            samples = _samples(portion.examples, predictions)
        if self._port.world > 1:
            distributed.broadcast_object_list(words, src=0, group=self._port.control)
        found: dict[str, float] = words[0]
        return found, samples

    def _parts(
        self, groups: list[Int64s], portion: Portion, count: Callable[[Any], int]
    ) -> list[_Part]:
        """This rank's; ranks call the model equally often, some in vain."""
        port, parts = self._port, []
        for first in range(0, len(groups), port.world):
            number = first + port.rank
            chosen = groups[number] if number < len(groups) else groups[-1][:1]
            packed = pack(portion.features, chosen).to(port.device)
            outputs, total = self._score(TaskBatch(pack=packed, index=0))
            if number < len(groups):
                arrays = tuple(output.float().cpu().numpy() for output in outputs)
                parts.append((number, arrays, float(total), count(packed)))
        return parts

    def _gathered(self, parts: list[_Part]) -> list[_Part]:
        if self._port.world == 1:
            return parts
        gathered: list[Any] = [None] * self._port.world
        distributed.all_gather_object(gathered, parts, group=self._port.control)
        return [part for some in gathered for part in some]


def _samples(examples: Sequence[Example], predictions: Predictions) -> tuple[Sample, ...]:
    answers = zip(examples, predictions.answers, predictions.confidence_E.tolist(), strict=True)
    return tuple(
        {
            "texts": [text[:_MOST_LETTERS] for text in example.texts[:_MOST_TEXTS]],
            "label": plain_of(example.target),
            "answer": plain_of(answer),
            "confidence": None if math.isnan(confidence) else round(confidence, 4),
        }
        for example, answer, confidence in islice(answers, MOST)
    )
