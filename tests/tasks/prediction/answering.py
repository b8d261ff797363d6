"""Answers part by part as the job makes them, in this process and without Ray."""

from __future__ import annotations

from pathlib import Path

from orchestrator.encoder.directory import read_directory
from orchestrator.settings.kinds import freeze
from orchestrator.settings.predict import PredictJob
from orchestrator.tasks.prediction.asking import asking_of
from orchestrator.tasks.prediction.columns import joined
from orchestrator.tasks.prediction.forms import PartWork, form_of
from orchestrator.tasks.prediction.model import answer_part
from orchestrator.tasks.prediction.spans import input_files, parts_of
from orchestrator.tasks.record import is_task_directory, read_record
from tests.tasks.prediction.inputs import looked_at


def answered(job: PredictJob, model: Path, folder: Path, *, size: int = 256) -> list[Path]:
    """The parts, one after another, without Ray."""
    record = read_record(model) if is_task_directory(model) else None
    width = read_directory(model).model.hidden
    asking = asking_of(job, record, {kind for _, kind in input_files(job.input)})
    looked, spans = looked_at(job.input, size, asking)
    form = form_of(job, asking, spans, joined(one.columns for one in looked), width)
    targets = []
    for part in parts_of(spans, size):
        targets.append(folder / f"part-{part.number:03d}.{form.suffix}")
        work = PartWork(
            job=freeze(job),
            model=str(model),
            asking=asking,
            form=form,
            part=part,
            target=str(targets[-1]),
        )
        told: list[int] = []
        answer_part(work, told.append)
        assert told[-1] == part.num_rows
    return targets
