"""A prepared corpus and a small job to train on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.model import Model
from orchestrator.settings.objective import Objective, Pairs
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.schedule import Schedule
from orchestrator.settings.zero import Zero
from tests.corpus.making import a_corpus, a_document, make, text_of
from tests.training.ranks import write_run

Given = Callable[..., Path]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[PretrainJob, str]:
    """With pairs, dropout, decay and a rising rate: whatever could differ after a kill."""
    folder = tmp_path_factory.mktemp("prepared")
    text = folder / "text.txt"
    text.write_text(text_of([a_document(number) for number in range(120)]))
    corpus = a_corpus(text)
    make(corpus, str(folder / "corpus"))
    job = PretrainJob(
        corpus=corpus,
        model=Model(layers=2, hidden=32, heads=2, max_positions=64),
        objective=Objective(pairs=Pairs.NSP),
        batch=Batch(global_tokens=768, pack_tokens=128, seq_len=48),
        optim=Optim(lr=1e-2),
        schedule=Schedule(warmup=4),
        budget=Budget(steps=20),
        checkpoint=Checkpoint(every_steps=5, every=None),
        cluster=Cluster(num_workers=2),
    )
    return job, str(folder / "corpus")


@pytest.fixture
def a_run(prepared: tuple[PretrainJob, str], tmp_path: Path) -> Given:
    """A run's folder, of the job with some nouns replaced."""
    job, corpus = prepared

    def write(
        name: str, *, stage: int = 2, precision: Precision = Precision.FP32, **nouns: Any
    ) -> Path:
        changed = replace(job, zero=Zero(stage=stage), precision=precision, **nouns)
        return write_run(tmp_path / name, changed, corpus)

    return write
