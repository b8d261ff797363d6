"""The model that answers rows, as a process that answers many parts keeps it: opened once.

`cluster/predict.py` runs `answer_part` as tasks. Rows are read and answered some at a time, so a
part of any size needs the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch

from orchestrator.encoder.nearby import nearby
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.kinds import thaw
from orchestrator.settings.precision import Precision
from orchestrator.settings.predict import PredictJob
from orchestrator.settings.task import Pooling
from orchestrator.tasks.directory import TaskDirectory, open_task_directory
from orchestrator.tasks.example import BadRow, Example
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.predict import predict
from orchestrator.tasks.prediction.asking import (
    CONFIDENCE,
    ERROR,
    PREDICTION,
    VECTOR,
    Asking,
)
from orchestrator.tasks.prediction.forms import PartWork
from orchestrator.tasks.prediction.rows import InputRow, Rows
from orchestrator.tasks.prediction.spans import Span
from orchestrator.tasks.prediction.vectors import open_vectors, vectors_of
from orchestrator.tasks.prediction.write import write_rows
from orchestrator.tasks.record import is_task_directory, read_record
from orchestrator.tasks.tokens import open_task_tokenizer

_ROWS, _CHARS = 1024, 2**20  # that are answered together, at most
_DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.FP16: torch.float16,
}

Added = dict[str, Any]  # columns of a row


class Answers(Protocol):
    def __call__(self, examples: Sequence[Example]) -> list[Added]: ...


def answer_part(work: PartWork, tell: Callable[[int], None]) -> None:
    """Into a file that is there when all of it is."""
    job = _job(work.job)
    answers = _open(work.job, work.model)
    done = 0

    def chunks() -> Iterator[list[Mapping[str, Any]]]:
        nonlocal done
        for rows in _some_at_a_time(work, job):
            yield _answered(rows, work.asking, answers, job.output.prefix)
            done += len(rows)
            tell(done)

    write_rows(work.target, work.form, chunks())


def _some_at_a_time(work: PartWork, job: PredictJob) -> Iterator[list[tuple[Span, InputRow]]]:
    held: list[tuple[Span, InputRow]] = []
    chars = 0
    for span in work.part.spans:
        for row in Rows(span, job.input):
            held.append((span, row))
            chars += sum(len(value) for value in row.values.values() if isinstance(value, str))
            if len(held) >= _ROWS or chars >= _CHARS:
                yield held
                held, chars = [], 0
    if held:
        yield held


def _answered(
    rows: Sequence[tuple[Span, InputRow]], asking: Asking, answers: Answers, prefix: str
) -> list[Mapping[str, Any]]:
    """Those that cannot be asked say why in their place."""
    examples: list[Example] = []
    errors: list[str] = []
    for span, row in rows:
        try:
            if row.problem:
                raise BadRow(row.problem)
            examples.append(asking.example(row.values))
            errors.append("")
        except BadRow as err:
            errors.append(f"{row.where(span)}: {err}")
    given = iter(answers(examples) if examples else ())
    out: list[Mapping[str, Any]] = []
    for (_, row), error in zip(rows, errors, strict=True):
        added = {ERROR: error} if error else next(given)
        named = {f"{prefix}{name}": value for name, value in added.items()}
        out.append({**row.values, **named})
    return out


@lru_cache(maxsize=1)
def _job(frozen: str) -> PredictJob:
    job = thaw(frozen)
    assert isinstance(job, PredictJob)
    import_extensions(job.extensions, Path.cwd())
    return job


@lru_cache(maxsize=1)
def _open(frozen: str, model: str) -> Answers:
    job = _job(frozen)
    with nearby(model) as folder:
        if job.embed:
            return _Vectors(folder, job)
        opened = open_task_directory(folder)
    if job.max_tokens is not None:
        opened = replace(opened, task=replace(opened.task, max_tokens=job.max_tokens))
    return _TaskAnswers(replace(opened, model=_placed(opened.model, job)))


@dataclass(frozen=True)
class _TaskAnswers:
    opened: TaskDirectory

    def __call__(self, examples: Sequence[Example]) -> list[Added]:
        task, labels = self.opened.task, self.opened.labels
        features = kind_of(task).encode(examples, labels, self.opened.tokenizer, task)
        found = predict(self.opened.model, features, examples, labels, task)
        return [
            {PREDICTION: plain_answer(answer), CONFIDENCE: None if math.isnan(sure) else sure}
            for answer, sure in zip(found.answers, found.confidence_E.tolist(), strict=True)
        ]


class _Vectors:
    def __init__(self, folder: Path, job: PredictJob) -> None:
        pooling, max_tokens = job.pooling, job.max_tokens
        if is_task_directory(folder):
            task = read_record(folder).task
            pooling = pooling or task.pooling
            max_tokens = max_tokens or task.max_tokens
        model = open_vectors(folder, pooling or Pooling.MEAN)
        self._max_tokens = max_tokens or model.encoder.settings.max_positions
        self._tokenizer = open_task_tokenizer(folder)
        self._model = _placed(model, job)

    def __call__(self, examples: Sequence[Example]) -> list[Added]:
        texts = [example.texts[0] for example in examples]
        vectors_ED = vectors_of(
            self._model, self._tokenizer, texts, max_tokens=self._max_tokens
        )  # fmt: skip
        return [{VECTOR: vector_D} for vector_D in vectors_ED]


def _placed(model: TaskModel, job: PredictJob) -> TaskModel:
    return model.to(device=job.cluster.device, dtype=_DTYPES[job.precision])


def plain_answer(answer: Any) -> Any:
    """As a cell holds it: several classes sorted, an intent with its tags by name."""
    if isinstance(answer, frozenset):
        return sorted(answer)
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], tuple):
        return {"intent": answer[0], "tags": list(answer[1])}
    return list(answer) if isinstance(answer, tuple) else answer
