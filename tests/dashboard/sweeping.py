"""A sweep's true run folder without anything that trains: its ledger as `Book` writes it.

Times are of one's choice; values rise with the epochs and are best at one learning rate.
"""

from __future__ import annotations

import json
import math
import random
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event, Ledger
from orchestrator.runs.result import write_result
from orchestrator.runs.samples import write_samples
from orchestrator.runs.segments import SegmentName, StreamWriter
from orchestrator.runs.storage import Storage
from orchestrator.settings.build import build
from orchestrator.settings.kinds import freeze
from orchestrator.settings.space import Point
from orchestrator.settings.sweep import SweepJob
from orchestrator.tuning.trials import Book, Fate, Trial
from tests.dashboard.making import BASE

ID = "20261120-120000-sweep-9100"
SPACE = {
    "optim": {"lr": {"log_uniform": [1e-5, 1e-3]}, "weight_decay": {"uniform": [0.0, 0.1]}},
    "batch": {"examples": {"choice": [16, 32, 64]}},
    "transfer": {
        "way": {"choice": ["full", "adapters"]},
        "rank": {"choice": [4, 8], "when": {"transfer.way": "adapters"}},
    },
}
EXAMPLES = (
    ("a film without a single dull minute", "positive", "positive", 0.97),
    ("it means well, and nothing more", "negative", "positive", 0.55),
    ("so slow that the popcorn ran out first", "negative", "negative", 0.91),
)


@dataclass
class Pen:
    """A ledger's, whose clock is the story's."""

    events: list[Event] = field(default_factory=list)
    now: float = BASE

    def record(self, kind: str, **fields: Any) -> Event:
        event = Event(
            seq=len(self.events) + 1,
            attempt=1,
            writer="driver",
            time=round(self.now, 3),
            kind=kind,
            fields=fields,
        )
        self.events.append(event)
        return event


def sweep_job(**search: Any) -> SweepJob:
    """Judged at 1 and 3 of 9 epochs."""
    data = {"kind": "jsonl", "splits": {"train": {"path": ["nowhere.jsonl"]}}}
    plain = {
        "task": {"name": "small", "kind": "classification", "data": data},
        "encoder": "some-run",
        "space": SPACE,
        "search": {"kind": "tpe", "scheduler": "asha", **search},
        "budget": {"trials": 30, "epochs": 9},
    }
    made, findings = build(SweepJob, plain)
    assert made is not None, findings
    return made


def make_sweep(
    storage: Storage,
    *,
    name: str = ID,
    began: float = BASE + 10_800,
    trials: int = 30,
    still_open: int = 0,
) -> RunFolder:
    """The last ones still run; one failed; ASHA gave up what was worse than the median so far."""
    run, pen, job = RunFolder(storage, name), Pen(now=began), sweep_job()
    pen.record("created", job="sweep", tags=["lr"], user="ada")
    pen.record("submitted", place="here")
    pen.record("attempt_started")
    pen.record("running")
    book = Book(run.storage, cast(Ledger, pen), job, ())
    chance = random.Random(name)
    shares = iter(chance.random, None)
    for number in range(trials):
        trial = book.propose(job.read_space().at(shares), seed=1)
        book.make_folder(trial)
        is_open = number >= trials - still_open
        _tell_trial(run, pen, book, trial, is_open=is_open)
    if not still_open:
        pen.record("finished")
        best = max(book.all(), key=lambda trial: trial.value or 0.0)
        write_result(run.storage, {"winner": best.number, "metrics": _metrics(best.value or 0.0)})
    run.storage.write(layout.LINEAGE, b"{}")
    with closing(StreamWriter(run.storage, layout.EVENTS, attempt=1, writer="driver")) as stream:
        for event in pen.events:
            stream.append(json.dumps(event.to_plain()).encode())
    run.storage.write(layout.JOB, freeze(job).encode())
    return run


def _tell_trial(run: RunFolder, pen: Pen, book: Book, trial: Trial, *, is_open: bool) -> None:
    inside = run.storage.child(trial.folder)
    if trial.number == 5:
        pen.now += 4.0
        book.ended(5, Fate.FAILED, reason="Step 12 has a gradient of norm nan.")
        return
    values: list[float] = []
    for epoch in range(1, 10):
        pen.now += 2.0
        values.append(value_at(trial.point, epoch, trial.number))
        book.measured(trial.number, float(epoch), values[-1])
        rivals = sorted(_at(each, epoch) for each in book.all() if each.epochs >= epoch)
        if epoch in (1, 3) and values[-1] < rivals[len(rivals) // 2]:
            if not is_open:
                reason = f"given up after {epoch} epochs"
                book.ended(trial.number, Fate.STOPPED, value=values[-1], reason=reason)
            break
        if is_open and epoch == 2:
            break
    else:
        book.ended(trial.number, Fate.FINISHED, value=values[-1])
        write_result(inside, {"metrics": _metrics(values[-1]), "chosen_by": "accuracy", "seed": 1})
    _write_metrics(inside, pen.now - 2.0 * len(values), values)
    write_samples(
        inside,
        step=len(values) * 40,
        samples=[
            {"texts": [text], "label": label, "answer": said, "confidence": share}
            for text, label, said, share in EXAMPLES
        ],
    )


def value_at(point: Point, epoch: int, number: int) -> float:
    """A hill over log10 of the learning rate; adapters need a larger one."""
    best = -3.6 if point["transfer.way"] == "adapters" else -4.3
    top = 0.88 - 0.09 * (math.log10(point["optim.lr"]) - best) ** 2
    noise = random.Random(f"{number}/{epoch}").gauss(0, 0.004)
    return round(max(0.5, top - 0.12 * math.exp(-epoch / 2.5) + noise), 4)


def _at(trial: Trial, epoch: int) -> float:
    return next(value for epochs, value in trial.measured if epochs >= epoch)


def _metrics(value: float) -> dict[str, dict[str, float]]:
    return {"validation": {"accuracy": value, "loss": round(1.2 - value, 4)}}


def _write_metrics(inside: Storage, began: float, values: list[float]) -> None:
    name = SegmentName(attempt=1, writer="rank-000", segment=1)
    file = inside.open_writer(f"{layout.METRICS}/{name}")
    for step in range(1, 40 * len(values) + 1):
        figures = {"train/loss": 0.7 * math.exp(-step / 120) + 0.05 * math.sin(step) ** 2}
        if step % 40 == 0:
            figures["eval/accuracy"] = values[step // 40 - 1]
        line = {
            **{"step": step, "attempt": 1, "time": round(began + step * 0.05, 3)},
            **{"tokens": step * 512, "values": figures},
        }
        file.write(json.dumps(line).encode() + b"\n")
    file.close()
