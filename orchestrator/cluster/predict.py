"""The `predict` job's body: a look at the rows, answers part by part as tasks, and one output.

What the look found is written down; a part is there whole or not at all. So an attempt goes on with
what one that was killed had done, every row is answered once, and the order is the input's.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.export import start_directory
from orchestrator.cluster.tasks import run_tasks
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import RequestError
from orchestrator.runs.storage import open_storage
from orchestrator.settings.extensions import import_extensions
from orchestrator.settings.kinds import freeze
from orchestrator.settings.predict import InputKind, OnBad, OutputKind, PredictJob
from orchestrator.settings.units import format_count
from orchestrator.tasks.prediction.asking import Asking, asking_of
from orchestrator.tasks.prediction.columns import joined
from orchestrator.tasks.prediction.forms import PartWork, form_of
from orchestrator.tasks.prediction.look import Looked, look, refuse_bad
from orchestrator.tasks.prediction.spans import (
    Part,
    Span,
    encoding_of,
    input_files,
    numbered,
    part_bytes,
    parts_of,
    plan_spans,
)
from orchestrator.tasks.prediction.write import Form, claim, join
from orchestrator.tasks.record import TaskRecord, is_task_directory, read_record

FOLDER = "prediction"
_LOOKED = f"{FOLDER}/looked.json"  # what the parts are; all attempts have the same
_PARTS = f"{FOLDER}/parts"
_DONE = f"{FOLDER}/done.json"  # written when the output is whole


def predict(attempt: Attempt) -> None:
    assert isinstance(attempt.job, PredictJob)
    _Predicting(attempt, attempt.job, start_directory(attempt, attempt.job.encoder)).run()


@dataclass(frozen=True, kw_only=True)
class _LookWork:
    job: PredictJob
    asking: Asking
    span: Span
    part_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a look found, and the input as it was then."""

    files: list[list[Any]]  # URI, bytes, time
    parts: list[Part]
    form: Form
    num_bad: int

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.parts)


@dataclass(frozen=True)
class _Predicting:
    attempt: Attempt
    job: PredictJob
    model: str  # URI of its directory

    def run(self) -> None:
        attempt, began = self.attempt, time.monotonic()
        attempt.progress.show("listing the input")
        attempt.ledger.record("running", workers=self.job.cluster.num_workers)
        run = attempt.run.storage
        if not run.exists(_DONE):
            seen = self._seen()
            answered = self._answer(seen)
            self._join(seen)
            facts = {"rows": seen.num_rows, "bad_rows": seen.num_bad, "output": self._output(seen)}
            run.write(_DONE, json.dumps(facts).encode())
            attempt.ledger.record("predicted", **facts)
            self._tell(facts, answered / max(time.monotonic() - began, 1e-9))
        if self.job.output.is_joined:
            run.remove(_PARTS)

    def _seen(self) -> _Seen:
        run = self.attempt.run.storage
        files = input_files(self.job.input)
        listed = [[file.uri, file.size_bytes, file.modified] for file, _ in files]
        if run.exists(_LOOKED):
            seen = _seen_of(json.loads(run.read(_LOOKED)))
            if seen.files != listed:
                raise RequestError(
                    "The input is not what it was when its rows were counted: "
                    f"{_changed(seen.files, listed)}.",
                    hint="Start again: a new run reads it as it is now.",
                )
            return seen
        self._refuse_foreign_parts()
        size = part_bytes(
            self.job.input, sum(file.size_bytes for file, _ in files), self.job.cluster.num_workers
        )
        record, width = self._described()
        asking = asking_of(self.job, record, {kind for _, kind in files})
        spans = list(plan_spans(files, encoding_of(self.job.input), size))
        looked = self._look(spans, asking, size)
        exact = numbered([one.spans for one in looked])
        if self.job.input.on_bad is OnBad.ERROR:
            refuse_bad(looked, exact)
        columns = joined(one.columns for one in looked)
        seen = _Seen(
            files=listed,
            parts=parts_of(exact, size),
            form=form_of(self.job, asking, exact, columns, width),
            num_bad=sum(one.num_bad for one in looked),
        )
        if not seen.parts:
            raise RequestError("input.path has no row.", hint="Are they the right files, and kind?")
        run.write(_LOOKED, json.dumps(_plain_of(seen)).encode())
        return seen

    def _refuse_foreign_parts(self) -> None:
        """What lies there would be taken for this run's own."""
        folder = self._parts_folder()
        if there := [entry.name for entry in open_storage(folder).list()]:
            raise RequestError(
                f"{folder} is not empty: it has {there[0]}.", hint="Give another output.path."
            )

    def _described(self) -> tuple[TaskRecord | None, int]:
        """Of its task, where it is asked for that; and how wide vectors are."""
        with nearby(self.model, has_weights=False) as folder:
            width = read_directory(folder).model.hidden
            if self.job.embed and not is_task_directory(folder):
                return None, width
            return read_record(folder), width

    def _look(self, spans: list[Span], asking: Asking, size: int) -> list[Looked]:
        items = [
            _LookWork(job=self.job, asking=asking, span=span, part_bytes=size) for span in spans
        ]
        sizes = [span.size_bytes for span in spans]
        found: dict[tuple[str, int], Looked] = {}
        for work, looked in run_tasks(
            self.attempt, _look_at, items, stage="looking at the rows", sizes=sizes
        ):
            found[work.span.uri, work.span.begin] = looked
        return [found[span.uri, span.begin] for span in spans]

    def _answer(self, seen: _Seen) -> int:
        """The parts that are not there; how many rows these have."""
        target = self._parts_folder()
        there = {entry.name for entry in open_storage(target).list()}
        left = [part for part in seen.parts if _name(part, seen.form) not in there]
        done = seen.num_rows - sum(part.num_rows for part in left)
        if done:
            told = f"{len(seen.parts) - len(left)} of {len(seen.parts)} parts"
            print(f"{told}, {done:,} rows, are answered already", flush=True)
        record, _ = self._described()
        kinds = {span.kind for part in seen.parts for span in part.spans}
        asking = asking_of(self.job, record, kinds)
        frozen, folder = freeze(self.job), open_storage(target)
        items = [
            PartWork(
                job=frozen,
                model=self.model,
                asking=asking,
                form=seen.form,
                part=part,
                target=folder.uri_of(_name(part, seen.form)),
            )
            for part in left
        ]
        sizes = [part.num_rows for part in left]
        for _ in run_tasks(
            self.attempt,
            _answer,
            items,
            stage="answering",
            sizes=sizes,
            unit="rows",
            done_before=done,
            has_model=True,
        ):
            pass
        return sum(sizes)

    def _join(self, seen: _Seen) -> None:
        if self.job.output.is_joined:
            self.attempt.progress.show("putting the parts together")
            parts = [_name(part, seen.form) for part in seen.parts]
            claim(self.attempt.run.storage, self._output(seen))
            join(open_storage(self._parts_folder()), parts, self._output(seen), seen.form)

    def _parts_folder(self) -> str:
        run = self.attempt.run.storage
        if self.job.output.is_joined:
            return run.uri_of(_PARTS)
        return self.job.output.path or run.uri_of(f"{FOLDER}/answers")

    def _output(self, seen: _Seen) -> str:
        if not self.job.output.is_joined:
            return self._parts_folder()
        name = f"{FOLDER}/answers.{seen.form.kind.value}"
        return self.job.output.path or self.attempt.run.storage.uri_of(name)

    def _tell(self, facts: dict[str, Any], speed: float) -> None:
        bad = f", {facts['bad_rows']:,} of them with an error" if facts["bad_rows"] else ""
        far = f" ({format_count(speed)} rows/s)" if speed >= 1 else ""
        print(f"{facts['rows']:,} rows{bad}{far}: {facts['output']}", flush=True)


def _look_at(work: _LookWork, tell: Callable[[int], None]) -> Looked:
    import_extensions(work.job.extensions, Path.cwd())
    return look(work.span, work.job.input, work.asking, work.part_bytes)


def _answer(work: PartWork, tell: Callable[[int], None]) -> None:
    from orchestrator.tasks.prediction.model import answer_part  # torch, transformers

    answer_part(work, tell)


def _name(part: Part, form: Form) -> str:
    return f"part-{part.number:06d}.{form.suffix}"


def _plain_of(seen: _Seen) -> dict[str, Any]:
    form = asdict(seen.form) | {"schema": None}
    if seen.form.schema is not None:
        form["schema"] = base64.b64encode(seen.form.schema.serialize().to_pybytes()).decode()
    return {
        "files": seen.files,
        "num_bad": seen.num_bad,
        "form": form,
        "parts": [[asdict(span) for span in part.spans] for part in seen.parts],
    }


def _seen_of(plain: dict[str, Any]) -> _Seen:
    form = plain["form"]
    if form["schema"] is not None:
        form["schema"] = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(form["schema"])))
    return _Seen(
        files=plain["files"],
        parts=[
            Part(number=number, spans=tuple(_span_of(span) for span in spans))
            for number, spans in enumerate(plain["parts"])
        ],
        form=Form(**form | {"kind": OutputKind(form["kind"])}),
        num_bad=plain["num_bad"],
    )


def _span_of(plain: dict[str, Any]) -> Span:
    own = {"kind": InputKind(plain["kind"]), "header": tuple(plain["header"])}
    return Span(**plain | own)


def _changed(before: list[list[Any]], now: list[list[Any]]) -> str:
    gone = [one[0] for one in before if one not in now] or [one[0] for one in now]
    return f"{gone[0]}{f' and {len(gone) - 1} more' if len(gone) > 1 else ''}"
