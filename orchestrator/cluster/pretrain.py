"""The `pretrain` job's body: find the checkpoint to go on from, and train on a worker group."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.export import refuse_misfit, start_directory
from orchestrator.cluster.port import rank_port
from orchestrator.cluster.restore import restore_point
from orchestrator.cluster.workers import Worker, run_workers
from orchestrator.corpus.layout import MANIFEST, corpus_uri
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import NotFoundError, RunStopped
from orchestrator.runs.checkpoints import Commit
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
    commit = restore_point(attempt, attempt.run.storage)
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


def pretrain_rank(
    worker: Worker, *, corpus: str, encoder: str | None, commit: Commit | None
) -> dict[str, Any]:
    from orchestrator.training.pretrain import pretrain as train  # torch, transformers, DeepSpeed
    from orchestrator.training.setup import Start

    assert isinstance(worker.job, PretrainJob)
    directory = nullcontext() if encoder is None else nearby(encoder)
    with rank_port(worker) as port, directory as path:
        ending = train(port, worker.job, Start(corpus=corpus, encoder=path, commit=commit))
    return {"end": ending.end.value, "step": ending.step}
