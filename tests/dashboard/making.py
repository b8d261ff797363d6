"""True run folders at any moment of the past: the real streams and names, times of one's choice.

    python tests/dashboard/making.py FOLDER [--runs 300] [--rows 2000]

Used by the dashboard's tests, its pictures and its measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Event
from orchestrator.runs.segments import SegmentName, StreamWriter
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.settings.build import build
from orchestrator.settings.kinds import freeze
from orchestrator.settings.pretrain import PretrainJob

BASE = datetime(2026, 11, 20, 9, 0, tzinfo=UTC).timestamp()
STEP_S, TOKENS = 0.8, 16384
REASONS = {"finished": "", "failed": "CUDA out of memory on rank 0", "stopped": "asked by ada"}
SIZES = {"bert": (4, 256), "roberta": (12, 768)}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Steps [first, last] and how it ended."""

    first: int
    last: int
    ended: str = "finished"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What happened to a run that is made up."""

    number: int
    attempts: Sequence[Attempt]
    began: float = BASE
    family: str = "bert"
    lr: float = 3e-4
    tags: Sequence[str] = ()
    parent: str | None = None
    logs: Sequence[str] = ("step 1/200 | loss 10.3 | lr 3e-06",)
    ranks: int = 2
    checkpoint_every: int = 100
    quarantined: Sequence[int] = field(default_factory=tuple)

    @property
    def id(self) -> str:
        moment = datetime.fromtimestamp(self.began, UTC).strftime("%Y%m%d-%H%M%S")
        return f"{moment}-pretrain-{self.number:04d}"


def make(storage: Storage, script: Script) -> RunFolder:
    run = RunFolder(storage, script.id)
    run.storage.write(layout.LINEAGE, json.dumps(_lineage(script)).encode())
    run.storage.write(layout.CODE, b"")
    events = list(_events(script))
    for number in sorted({event.attempt for event in events}):
        writer = "driver" if number else "client"
        with closing(_stream(run, layout.EVENTS, number, writer)) as stream:
            for event in events:
                if event.attempt == number:
                    stream.append(json.dumps(event.to_plain()).encode())
    for number, attempt in enumerate(script.attempts, start=1):
        name = SegmentName(attempt=number, writer="rank-000", segment=1)
        file = run.storage.open_writer(f"{layout.METRICS}/{name}")
        for line in lines(script, number, attempt):
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        file.close()
        with closing(_stream(run, layout.LOGS, number, "driver", "log")) as stream:
            for text in script.logs:
                stream.append(text.encode())
    _write_checkpoints(run, script)
    run.storage.write(layout.JOB, freeze(job(script)).encode())
    return run


def job(script: Script) -> PretrainJob:
    layers, hidden = SIZES[script.family]
    model = {"family": script.family, "layers": layers, "hidden": hidden, "heads": 4}
    plain = {
        "model": model,
        "corpus": {"name": "text", "sources": {"text": {"kind": "text", "path": ["a.txt"]}}},
        "tags": list(script.tags),
        "optim": {"lr": script.lr},
        "budget": {"steps": max(1, *(attempt.last for attempt in script.attempts))},
        "cluster": {"num_workers": script.ranks},
    }
    made, findings = build(PretrainJob, plain)
    assert made is not None, findings
    return made


def lines(script: Script, number: int, attempt: Attempt) -> Iterator[dict[str, Any]]:
    """The same step of any attempt has the same loss, as training that repeats has."""
    began = script.began + _offsets(script)[number - 1] + 12.0
    for step in range(attempt.first, attempt.last + 1):
        chance = random.Random(f"{script.number}/{step}")
        loss = 2.2 + 8.0 * math.exp(-step * script.lr * 20) + chance.gauss(0, 0.06)
        values = {
            "train/loss": loss,
            "train/mlm_loss": loss,
            "train/lr": script.lr * min(1.0, step / 50),
            "train/grad_norm": 1.0 + chance.random(),
            "train/step_s": STEP_S,
            "train/tokens_per_s": _of_clock(TOKENS / STEP_S * chance.uniform(0.9, 1.05)),
            "train/data_wait": _of_clock(0.01 * chance.random()),
            "train/checkpoint_stall": 0.02,
            "train/memory_bytes": 2.1e9,
        }
        if step % 50 == 0:
            values |= {"eval/loss": loss + 0.1, "eval/perplexity": math.exp(min(20, loss + 0.1))}
        if step % 20 == 0:
            for rank in range(script.ranks):
                values[f"system/rank/{rank}/cpu"] = 0.7 + 0.2 * chance.random()
        moment = round(began + (step - attempt.first + 1) * STEP_S, 3)
        yield {
            **{"step": step, "attempt": number, "time": moment, "tokens": step * TOKENS},
            "values": values,
        }


def _of_clock(value: float) -> float:
    """As training rounds them."""
    return float(f"{value:.7g}")


def _offsets(script: Script) -> list[float]:
    """Seconds from the run's begin to that of each attempt."""
    offsets = [0.0]
    for attempt in script.attempts:
        offsets.append(offsets[-1] + (attempt.last - attempt.first + 1) * STEP_S + 40.0)
    return offsets


def _events(script: Script) -> Iterator[Event]:
    said = {"job": "pretrain", "tags": list(script.tags), "user": "ada"}
    yield _event(0, script.began - 4, "created", 1, **said)
    seq = 0
    for number, attempt in enumerate(script.attempts, start=1):
        at = script.began + _offsets(script)[number - 1]
        took = (attempt.last - attempt.first + 1) * STEP_S
        facts: list[tuple[float, str, dict[str, Any]]] = [
            (at, "submitted", {"place": "here"}),
            (at + 3, "attempt_started", {}),
            (at + 12, "running", {"workers": script.ranks}),
        ]
        if number > 1:
            lost = script.attempts[number - 2].last - attempt.first + 1
            facts.append((at + 11, "resumed", {"step": attempt.first - 1, "steps_lost": lost}))
            facts += [
                (at + 8, "checkpoint_quarantined", {"step": step, "message": "is torn"})
                for step in script.quarantined
            ]
        facts += [
            (at + 12 + (step - attempt.first) * STEP_S, "checkpoint_committed", {"step": step})
            for step in _committed(script, attempt)
        ]
        if attempt.ended != "running":
            reason = {"reason": attempt.reason} if attempt.reason else {}
            facts.append((at + took + 14, attempt.ended, reason))
        for moment, kind, fields in sorted(facts, key=lambda fact: fact[0]):
            seq += 1
            yield _event(number, moment, kind, seq, **fields)


def _event(attempt: int, moment: float, kind: str, seq: int, **fields: Any) -> Event:
    writer = "driver" if attempt else "client"
    return Event(
        seq=seq, attempt=attempt, writer=writer, time=round(moment, 3), kind=kind, fields=fields
    )


def _committed(script: Script, attempt: Attempt) -> list[int]:
    every = script.checkpoint_every
    return [step for step in range(attempt.first, attempt.last + 1) if step % every == 0]


def _write_checkpoints(run: RunFolder, script: Script) -> None:
    """Their folders only, with the COMMIT of a checkpoint of one empty rank."""
    steps = sorted({step for attempt in script.attempts for step in _committed(script, attempt)})
    catalogue = Checkpoints(run.storage)
    for step in steps[-3:]:
        files = catalogue.open_rank(step, 0, attempt=1)
        with files.open("weights.bin") as weights:
            weights.write(b"0" * 1000)
        files.finish()
        catalogue.commit(step, world=1, attempt=1, facts={})


def _lineage(script: Script) -> dict[str, Any]:
    return {
        "user": "ada",
        "host": {"name": "node-1"},
        "command": ["orchestrator", "submit", "pretrain"],
        "overrides": [f"optim.lr={script.lr}"],
        "packages": {"torch": "2.13.0", "ray": "2.60.0"},
        "code": {"files": 2, "fingerprint": "95661ba9a8c32383"},
        "git": {"commit": "0123456789abcdef", "branch": "main", "is_dirty": False},
        "parent": {"run": script.parent} if script.parent else None,
    }


def _stream(
    run: RunFolder, folder: str, attempt: int, writer: str, suffix: str = "jsonl"
) -> StreamWriter:
    return StreamWriter(run.storage, folder, attempt=attempt, writer=writer, suffix=suffix)


def gallery(storage: Storage, *, others: int = 20) -> list[str]:
    """Runs as a team has them, for pictures; the ids of those worth opening first."""
    crash = "2 of 2 workers died: rank 1 was killed (SIGKILL)."
    chosen = [
        Script(number=9001, began=BASE, attempts=[Attempt(first=1, last=900)], tags=["baseline"]),
        Script(
            number=9002,
            began=BASE + 1800,
            lr=1e-3,
            attempts=[
                Attempt(first=1, last=340, ended="failed", reason=crash),
                Attempt(first=301, last=640, ended="stopped", reason="asked by ada"),
                Attempt(first=601, last=900),
            ],
            tags=["lr", "keep"],
            quarantined=[400],
        ),
        Script(number=9003, began=BASE + 3600, lr=1e-4, attempts=[Attempt(first=1, last=900)]),
    ]
    for number in range(others):
        ended = ("finished", "failed", "stopped")[number % 3]
        attempt = Attempt(first=1, last=60 + 10 * number, ended=ended, reason=REASONS[ended])
        family = "roberta" if number % 4 == 0 else "bert"
        began = BASE - 3000 * (number + 1)
        made = Script(number=number, began=began, family=family, attempts=[attempt])
        make(storage, made)
    return [make(storage, script).id for script in chosen]


def many(storage: Storage, *, runs: int, rows: int) -> None:
    for number in range(runs):
        attempts = [Attempt(first=1, last=rows)]
        began = BASE - 5000 * number
        make(storage, Script(number=number, began=began, attempts=attempts, checkpoint_every=10**9))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--rows", type=int, default=2000)
    asked = parser.parse_args()
    many(open_storage(asked.folder), runs=asked.runs, rows=asked.rows)
