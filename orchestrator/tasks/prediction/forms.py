"""What the output of a job looks like: the input's columns, then those that are added. Pure.

Tables name their columns and types before their first row; jsonl and npy need neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from orchestrator.corpus.text.files import locate
from orchestrator.errors import RequestError
from orchestrator.settings.predict import InputKind, OnBad, OutputKind, PredictJob
from orchestrator.tasks.kinds.kind import kind_of
from orchestrator.tasks.prediction.asking import CONFIDENCE, ERROR, PREDICTION, VECTOR, Asking
from orchestrator.tasks.prediction.columns import Columns
from orchestrator.tasks.prediction.spans import Part, Span
from orchestrator.tasks.prediction.write import Form

_TAGS = pa.list_(pa.string())
# Role → type of the answer; the first that a kind has.
_ANSWERS: dict[str, Any] = {
    "intent": pa.struct([("intent", pa.string()), ("tags", _TAGS)]),
    "tags": _TAGS,
    "labels": _TAGS,
    "score": pa.float64(),
    "answers": pa.string(),
}


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """What one task answers."""

    job: str  # frozen
    model: str  # URI of the directory
    asking: Asking
    form: Form
    part: Part
    target: str  # URI of the file


def form_of(
    job: PredictJob, asking: Asking, spans: Sequence[Span], columns: Columns, width: int
) -> Form:
    """`width` is that of vectors."""
    kind = job.output_kind
    schema = None
    if kind in (OutputKind.CSV, OutputKind.PARQUET):
        is_typed = kind is OutputKind.PARQUET and all(
            span.kind is InputKind.PARQUET for span in spans
        )
        own = _stored_schema(spans) if is_typed else columns.schema()
        schema = pa.schema([*own, *_added(job, asking, width)])
    return Form(
        kind=kind,
        schema=schema,
        vector=f"{job.output.prefix}{VECTOR}",
        width=width,
        is_joined=job.output.is_joined,
    )


def _added(job: PredictJob, asking: Asking, width: int) -> list[Any]:
    prefix = job.output.prefix
    if job.embed:
        added = [(VECTOR, pa.list_(pa.float32(), width))]
    else:
        added = [(PREDICTION, _answer_type(asking)), (CONFIDENCE, pa.float64())]
    if job.input.on_bad is OnBad.SKIP:
        added.append((ERROR, pa.string()))
    return [pa.field(f"{prefix}{name}", kind) for name, kind in added]


def _answer_type(asking: Asking) -> Any:
    assert asking.task is not None
    roles = kind_of(asking.task).roles
    found = next((kind for role, kind in _ANSWERS.items() if role in roles), None)
    if found is not None:
        return found
    return pa.string() if asking.labels.classes else pa.int64()


def _stored_schema(spans: Sequence[Span]) -> Any:
    """Of parquet files, which have to be alike."""
    first: Any = None
    for uri in dict.fromkeys(span.uri for span in spans):
        storage, name = locate(uri)
        with storage.open_file(name) as stored:
            schema = parquet.read_schema(stored).remove_metadata()
        if first is None:
            first = schema
        elif schema != first:
            odd = next(
                (field.name for field in schema if field not in first),
                "the order of its columns, or one that is missing",
            )
            raise RequestError(
                f"{uri} and {spans[0].uri} have different columns: {odd}.",
                hint="One run for each kind of file, or output.kind=jsonl.",
            )
    return first
