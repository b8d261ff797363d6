"""The `pretrain` job's body: find the checkpoint to go on from, and train on a worker group."""

from __future__ import annotations

from functools import partial
from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.port import rank_port
from orchestrator.cluster.workers import Worker, run_workers
from orchestrator.corpus.layout import MANIFEST, corpus_uri
from orchestrator.errors import NotFoundError, RunStopped
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.storage import open_storage
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.units import format_duration


def pretrain(attempt: Attempt) -> None:
    job = attempt.job
    assert isinstance(job, PretrainJob)
    corpus = corpus_uri(attempt.run.parent.uri, job.corpus)
    if not open_storage(corpus).exists(MANIFEST):
        raise NotFoundError(
            f"The corpus {job.corpus.name} is not prepared: {corpus} has no {MANIFEST}.",
            hint=f"orchestrator run prepare corpus={job.corpus.name}, with the same settings",
        )
    attempt.progress.show("looking at checkpoints")
    commit = Checkpoints(attempt.run.storage).restore_point(attempt.ledger.record)
    if commit is not None:
        attempt.ledger.record("resumed", step=commit.step, from_attempt=commit.attempt)
        print(f"Going on from step {commit.step} of attempt {commit.attempt}.", flush=True)
    endings = run_workers(attempt, partial(pretrain_rank, corpus=corpus, commit=commit))
    ending = endings[0]
    if ending["end"] == "out of time":
        limit = format_duration(job.budget.max_duration or 0)
        raise RunStopped(f"budget.max_duration={limit} is used up at step {ending['step']}")


def pretrain_rank(worker: Worker, *, corpus: str, commit: Commit | None) -> dict[str, Any]:
    from orchestrator.training.loop import pretrain as train  # torch, transformers, DeepSpeed
    from orchestrator.training.setup import Start

    assert isinstance(worker.job, PretrainJob)
    with rank_port(worker) as port:
        ending = train(port, worker.job, Start(corpus=corpus, commit=commit))
    return {"end": ending.end.value, "step": ending.step}
