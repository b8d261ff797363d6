"""An audit of a sweep: each trial once, on its own stream, and what is told of it is true."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestrator.errors import RequestError
from orchestrator.planning.audit import audit_run
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.result import write_result
from orchestrator.runs.storage import open_storage
from orchestrator.settings.kinds import freeze
from orchestrator.settings.search import SearchKind
from orchestrator.tasks.prepared import PREPARED, open_prepared, prepare_task
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.training.batches import Batches
from orchestrator.training.standing import Standing
from orchestrator.tuning.trials import ENDED, PROPOSED, Fate
from tests.planning.test_audit_task import record
from tests.runs.checkpoints.making import tell
from tests.tasks.encoders import WORDS, an_encoder
from tests.tasks.small import built, plain_task, write_jsonl
from tests.tuning.making import a_book, a_sweep

pytestmark = pytest.mark.slow

RUN = "20261121-101010-sweep-aaaa"
POINTS = ({"batch.examples": 16}, {"batch.examples": 32}, {"optim.lr": 1e-3})


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials that finished, the first over two attempts, and one that was given up."""
    root = tmp_path_factory.mktemp("swept")
    lines = [{"text": f"the {WORDS[n % 9]}", "label": "ab"[n % 2]} for n in range(60)]
    splits = {"train": {"path": [write_jsonl(root / "rows.jsonl", lines)]}}
    task = built(plain_task("classification", data={"kind": "jsonl", "splits": splits}))
    encoder = an_encoder(root / "encoder")
    job = replace(a_sweep(trials=3), task=task, encoder=str(encoder))
    run = RunFolder(open_storage(root / "runs"), RUN)
    run.storage.write(layout.JOB, freeze(job).encode())
    kept = prepare_task(task, open_task_tokenizer(encoder), run.parent, lambda _: None)
    tell(run.storage, PREPARED, attempt=1, **asdict(kept))
    features = open_prepared(run.parent, kept.file).training.features
    with a_book(run.storage, job) as book:
        for point in POINTS:
            trial = book.propose(point, seed=job.seed)
            assert not book.make_folder(trial)
            folder = run.storage.child(trial.folder)
            batch = job.trial(point, seed=job.seed)[0].batch  # type: ignore[union-attr]
            batches = Batches(tokens_E=features.tokens_E, batch=batch, seed=job.seed)
            standing = record(folder, batches, Standing(), steps=2, attempt=1, world=1)
            tell(folder, "checkpoint_committed", attempt=1, step=2)  # and cleared since
            if trial.number == 0:
                record(folder, batches, standing, steps=1, attempt=1, world=1)
                record(folder, batches, standing, steps=2, attempt=2, world=1)
            if trial.number < 2:
                steps = 4 if trial.number == 0 else 2
                scores = {"validation": {"accuracy": 0.5 + trial.number / 4}}
                write_result(folder, {"steps": steps, "metrics": scores, "chosen_by": "accuracy"})
                value = scores["validation"]["accuracy"]
                book.ended(trial.number, Fate.FINISHED, value=value)
            else:
                book.ended(trial.number, Fate.STOPPED, value=0.1, reason="given up")
    run.storage.write(f"{layout.EXPORT}/{layout.EXPORTED}", b"{}")
    write_result(run.storage, {"steps": 2, "winner": 1})
    return root / "runs"


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(clean, tmp_path / "runs")
    return RunFolder(open_storage(tmp_path / "runs"), RUN)


def test_every_trial_is_clean_by_itself(folder: RunFolder) -> None:
    found = audit_run(folder)
    assert found.problems == () and found.audit is not None
    assert (found.lessons, found.lesson, found.attempts) == (3, "trials", 2)
    assert (found.audit.steps, found.audit.repeated_steps) == (4 + 2 + 2, 1)


def another_value(folder: RunFolder) -> None:
    path = f"{layout.trial(1)}/{layout.RESULT}"
    plain = json.loads(folder.storage.read(path))
    plain["metrics"]["validation"]["accuracy"] = 0.8
    folder.storage.write(path, json.dumps(plain).encode())


def a_lost_record(folder: RunFolder) -> None:
    run = folder.storage.child(layout.trial(1))
    (entry,) = run.list(layout.STEPS)
    lines = run.read(f"{layout.STEPS}/{entry.name}").splitlines(keepends=True)
    run.write(f"{layout.STEPS}/{entry.name}", b"".join(lines[1:]))


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (lambda folder: folder.storage.remove(f"{layout.trial(0)}/{layout.RESULT}"), "trial 0: "),
        (another_value, "trial 1: the ledger has 0.75, result.json 0.8"),
        (a_lost_record, "trial 1: "),
        (
            lambda folder: tell(folder.storage, PROPOSED, attempt=1, trial=0, point={}, seed=1),
            "proposed 2",
        ),
        (
            lambda folder: tell(folder.storage, ENDED, attempt=1, trial=0, fate="failed"),
            "ended 2 times",
        ),
        (
            lambda folder: tell(folder.storage, PROPOSED, attempt=1, trial=3, point={}, seed=1),
            "3 configurations were asked for; the ledger has 4.",
        ),
        (lambda folder: folder.storage.remove(layout.EXPORT), "model is not whole"),
    ],
)
def test_what_was_tampered_with_is_found(
    folder: RunFolder, tamper: Callable[[RunFolder], None], said: str
) -> None:
    tamper(folder)
    found = audit_run(folder)
    assert not found.is_clean
    assert said in " ".join(found.problems)


def test_trials_that_take_over_from_one_another_are_no_streams(folder: RunFolder) -> None:
    job = folder.job()
    search = replace(job.search, kind=SearchKind.PBT)  # type: ignore[attr-defined]
    folder.storage.write(layout.JOB, freeze(replace(job, search=search)).encode())  # type: ignore[call-arg]
    with pytest.raises(RequestError, match="go on from one another"):
        audit_run(folder)
