"""The `pretrain` job's body: find the checkpoint to go on from, and train on a worker group."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.export import refuse_misfit, start_directory
from orchestrator.cluster.port import rank_port
from orchestrator.cluster.workers import Worker, run_workers
from orchestrator.corpus.layout import MANIFEST, corpus_uri
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import NotFoundError, RunStopped
from orchestrator.runs.checkpoints import Checkpoints, Commit
from orchestrator.runs.steps import last_step
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
    commit = restore_point(attempt)
    encoder = None
    if job.encoder is not None:
        encoder = start_directory(attempt, job.encoder)
        refuse_misfit(encoder, corpus, job.batch.seq_len)
    rank = partial(pretrain_rank, corpus=corpus, encoder=encoder, commit=commit)
    endings = run_workers(attempt, rank, can_resize=True)
    ending = endings[0]
    if ending["end"] == "out of time":
        limit = format_duration(job.budget.max_duration or 0)
        raise RunStopped(f"budget.max_duration={limit} is used up at step {ending['step']}")


def restore_point(attempt: Attempt) -> Commit | None:
    """The newest whole checkpoint; never a silent start from step 0 (law 9)."""

    def note(kind: str, **fields: Any) -> None:
        attempt.ledger.record(kind, **fields)
        if "message" in fields:
            print(fields["message"], flush=True)

    def tell(done: int, total: int) -> None:
        attempt.progress.show("looking at checkpoints", done, total, "bytes")

    run = attempt.run.storage
    commit = Checkpoints(run).restore_point(note, tell)
    if commit is not None:
        lost = max(0, last_step(run) - commit.step)
        note("resumed", step=commit.step, from_attempt=commit.attempt, steps_lost=lost)
        again = f"; {lost} steps are made again" if lost else ""
        print(f"Going on from step {commit.step} of attempt {commit.attempt}{again}.", flush=True)
    elif lost := last_step(run):
        told = f"No attempt before committed a checkpoint: {lost} steps are made again from step 0."
        note("begun_again", steps_lost=lost, message=told)
    return commit


def pretrain_rank(
    worker: Worker, *, corpus: str, encoder: str | None, commit: Commit | None
) -> dict[str, Any]:
    from orchestrator.training.loop import pretrain as train  # torch, transformers, DeepSpeed
    from orchestrator.training.setup import Start

    assert isinstance(worker.job, PretrainJob)
    directory = nullcontext() if encoder is None else nearby(encoder)
    with rank_port(worker) as port, directory as path:
        ending = train(port, worker.job, Start(corpus=corpus, encoder=path, commit=commit))
    return {"end": ending.end.value, "step": ending.step}
