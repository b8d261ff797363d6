"""A fork goes on from its parent's checkpoint, and is whole without its parent from then on."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator
from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.place import Place
from orchestrator.cluster.restore import restore_point
from orchestrator.cluster.stop import StopSignal
from orchestrator.errors import NotFoundError, OrchestratorError
from orchestrator.planning.audit import audit_run
from orchestrator.planning.fork import fork_findings
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.plan import Forked
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.job import Job
from orchestrator.settings.optim import Optim, Optimizer
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.zero import Zero
from orchestrator.tracking.metrics import MetricsWriter, read_metrics
from orchestrator.tracking.progress import ProgressWriter
from tests.planning.small import Training, prepare

pytestmark = pytest.mark.slow

PARENT, CHILD = "20261121-101010-pretrain-aaaa", "20261121-111111-pretrain-bbbb"


@pytest.fixture
def parent(tmp_path: Path) -> Training:
    """Six steps, back to the fourth, and four more; each step with its metrics."""
    storage = open_storage(tmp_path / "runs")
    training = Training(storage, prepare(storage.uri, tmp_path), PARENT)
    training.attempt_from(0, steps=4, world=2)
    training.attempt_from(4, steps=2, world=2, commit=False)
    training.attempt_from(4, steps=4, world=2)
    for attempt, steps in ((1, range(1, 5)), (2, range(5, 7)), (3, range(5, 9))):
        writer = MetricsWriter(training.folder.storage, attempt=attempt, writer="rank-000")
        with closing(writer):
            for step in steps:
                writer.write(step, {"train/loss": step + attempt / 10})
    return training


def fork_of(parent: Training, step: int | None) -> Training:
    child = Training(parent.folder.parent, parent.job, CHILD)
    forked = Forked(run=PARENT, uri=parent.folder.uri, job=parent.job, step=step)
    lineage = child.folder.lineage() | {"parent": forked.to_plain()}
    child.folder.storage.write(layout.LINEAGE, json.dumps(lineage).encode())
    child._standings = dict(parent._standings)
    return child


def begin(run: RunFolder, number: int = 1) -> Commit | None:
    with closing(Ledger(run.storage, attempt=number, writer="attempt")) as ledger:
        attempt = Attempt(
            run=run,
            job=run.job(),
            number=number,
            place=Place.HERE,
            ledger=ledger,
            progress=ProgressWriter(run.storage),
            stop=StopSignal(),
        )
        return restore_point(attempt, run.storage)


def test_a_fork_is_audited_from_its_first_step_when_its_parent_is_gone(
    parent: Training, capfd: pytest.CaptureFixture[str]
) -> None:
    child = fork_of(parent, 8)
    commit = begin(child.folder)
    assert commit is not None and commit.step == 8
    assert f"Going on from step 8 of {PARENT}." in capfd.readouterr().out
    open_storage(parent.folder.parent.uri).remove(PARENT)
    child.attempt_from(8, steps=3, world=1)
    found = audit_run(child.folder)
    assert found.problems == () and found.audit is not None
    assert (found.audit.steps, found.audit.repeated_steps, found.attempts) == (11, 0, 2)
    lines = read_metrics(child.folder.storage)
    told = [(line["step"], line["attempt"], line["values"]["train/loss"]) for line in lines]
    assert told == [(n, 0, n + (0.1 if n < 5 else 0.3)) for n in range(1, 9)]


def test_an_earlier_checkpoint_has_no_step_after_it(parent: Training) -> None:
    child = fork_of(parent, 4)
    commit = begin(child.folder)
    assert commit is not None and commit.step == 4
    assert [line["step"] for line in read_metrics(child.folder.storage)] == [1, 2, 3, 4]
    assert Checkpoints(child.folder.storage).steps() == [4]
    child.attempt_from(4, steps=2, world=2)
    assert audit_run(child.folder).problems == ()


def test_the_parents_best_step_comes_along(parent: Training) -> None:
    parent.attempt_from(8, steps=2, world=1, commit=False)
    parent.commit(10, best_step=4, best_loss=0.5)
    child = fork_of(parent, 10)
    begin(child.folder)
    assert Checkpoints(child.folder.storage).steps() == [4, 10]


KILLS: dict[str, Callable[[LocalStorage], None]] = {
    "before a file": lambda run: run.remove(layout.CHECKPOINTS),
    "before the commit": lambda run: run.remove(f"{layout.checkpoint(8)}/{layout.COMMIT}"),
    "before the ledger": lambda run: None,
}


@pytest.mark.parametrize("name", KILLS)
def test_who_is_killed_while_copying_does_it_again(parent: Training, name: str) -> None:
    child = fork_of(parent, 8)
    begin(child.folder)
    run = child.folder.storage
    assert isinstance(run, LocalStorage)
    KILLS[name](run)
    run.remove(layout.EVENTS)  # the word that it is done comes last
    commit = begin(child.folder)
    assert commit is not None and commit.step == 8
    child.attempt_from(8, steps=1, world=1)
    assert audit_run(child.folder).problems == ()
    begin(child.folder, number=2)
    assert [event.kind for event in child.folder.events()].count("forked") == 1


def test_a_checkpoint_that_is_gone_by_then_is_no_start_from_nothing(parent: Training) -> None:
    child = fork_of(parent, 8)
    parent.folder.storage.remove(layout.CHECKPOINTS)
    with pytest.raises(NotFoundError, match="no checkpoint of step 8 any more"):
        begin(child.folder)


def test_a_torn_checkpoint_is_no_start_from_nothing(parent: Training) -> None:
    child = fork_of(parent, 8)
    folder = layout.checkpoint(8)
    storage = parent.folder.storage
    shard = next(e for e in storage.list(folder) if e.name.endswith(".pt"))
    data = storage.read(f"{folder}/{shard.name}")
    storage.write(f"{folder}/{shard.name}", bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(OrchestratorError, match="no whole checkpoint"):
        begin(child.folder)


def test_a_fork_from_the_beginning_takes_nothing(parent: Training) -> None:
    child = fork_of(parent, None)
    assert begin(child.folder) is None
    assert read_metrics(child.folder.storage) == []


# ----- what may be changed


def said(parent: PretrainJob, step: int | None = 8, **changes: object) -> list[str]:
    job: Job = replace(parent, **changes)  # type: ignore[arg-type]
    forked = Forked(run=PARENT, uri="", job=parent, step=step)
    return [finding.key for finding in fork_findings(job, forked)]


def test_what_the_checkpoint_does_not_depend_on_can_be_changed(parent: Training) -> None:
    job = parent.job
    cluster = replace(job.cluster, num_workers=4)
    assert said(job, optim=Optim(lr=1e-5), budget=Budget(steps=20), cluster=cluster) == []
    other = Batch(global_tokens=2048, pack_tokens=256, seq_len=32)
    assert said(job, batch=other) == ["batch.global_tokens"]
    assert said(job, seed=2, zero=Zero(stage=2)) == ["seed", "zero.stage"]
    assert said(job, optim=Optim(kind=Optimizer.LAMB)) == ["optim.kind"]
    assert said(job, budget=Budget(steps=8)) == ["budget.steps"]
    assert said(job, step=None, batch=other, seed=2) == []
    longer = replace(job.batch, shorter_first={"16": 0.5})
    stretched = replace(job, batch=longer)
    assert said(stretched, budget=Budget(steps=20)) == ["budget"]
    assert said(stretched, budget=job.budget) == []


def test_a_fork_names_its_step_and_what_it_cannot_change(
    parent: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parent.folder.note("submitted", attempt=1, place="here")
    runs = Orchestrator(parent.folder.parent.uri, working_dir=tmp_path)
    found = runs.find(PARENT)
    plan = runs.fork(found, ["seed=3"], place=Place.HERE)
    assert any("its checkpoint of step 8 is of that" in str(each) for each in plan.findings)
    plan = runs.fork(found, ["optim.lr=1e-5", "budget.steps=20"], checkpoint=4, place=Place.HERE)
    assert plan.findings == () and plan.parent is not None
    assert plan.parent["forked_at"] == 4
    assert runs.fork(found, ["seed=3"], checkpoint=0, place=Place.HERE).findings == ()
    with pytest.raises(NotFoundError, match="no checkpoint of step 5; it has 4, 8"):
        runs.fork(found, [], checkpoint=5)
