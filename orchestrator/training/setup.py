"""Everything that a rank needs before its first step, in the order in which it is made.

What was derived is printed once, so that nobody has to guess what a run really did.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from orchestrator.corpus import layout
from orchestrator.corpus.packs.mask import Masking, Vocabulary
from orchestrator.corpus.packs.stream import Stream
from orchestrator.corpus.packs.window import Pack
from orchestrator.corpus.shards.cache import ready_corpus
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.encoder.build import build_encoder, open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import heads_of
from orchestrator.objectives.ready import ReadyPack, make_ready
from orchestrator.objectives.terms import Term, terms_of
from orchestrator.runs.checkpoints import Commit
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.training import TrainingJob
from orchestrator.training.engine import Engine
from orchestrator.training.passes import Pretraining
from orchestrator.training.port import WorkerPort
from orchestrator.training.recipe import masking_of, training_stream, validation_stream
from orchestrator.training.restoring import restorable
from orchestrator.training.standing import Standing
from orchestrator.training.zero import Division, ZeroEngine


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a rank is told beside its job."""

    corpus: str  # the URI of the prepared corpus
    encoder: Path | None = None  # a Hugging Face directory on this node
    commit: Commit | None = None  # the checkpoint to go on from


@dataclass(frozen=True, kw_only=True)
class Setup:
    stream: Stream
    validation: Stream | None
    transform: Transform
    tokenizer: CorpusTokenizer
    encoder: Encoder
    terms: tuple[Term, ...]
    engine: Engine
    standing: Standing
    num_tokens: int  # of text, in an epoch


@dataclass(frozen=True, kw_only=True)
class Transform:
    """A micro-batch's packs as the model reads them; runs in the loader's thread."""

    masking: Masking
    vocabulary: Vocabulary
    device: torch.device

    def __call__(self, packs: list[Pack]) -> list[ReadyPack]:
        return [make_ready(pack, self.masking, self.vocabulary).to(self.device) for pack in packs]


@contextmanager
def set_up(port: WorkerPort, job: PretrainJob, start: Start) -> Iterator[Setup]:
    configure_torch(job)
    port.show("opening the corpus")
    with ready_corpus(
        start.corpus, cache=corpus_cache(), limit_bytes=job.corpus_cache, tell=lambda *_: None
    ) as folder:
        corpus = open_corpus(folder)
        tokenizer = open_tokenizer(corpus.tokenizer)
        port.show("building the encoder")
        encoder = make_encoder(job, tokenizer, start.encoder)
        terms = terms_of(job.objective)
        with restorable(port, job, start.commit) as restored:
            engine = ZeroEngine(
                Pretraining(encoder, terms, seed=job.seed),
                Division(
                    zero=job.zero,
                    precision=job.precision,
                    optim=job.optim,
                    world=port.world,
                    device=port.device,
                    from_universal=restored is not None and restored.is_universal,
                ),
            )
            standing = Standing()
            if restored is not None:
                port.show("restoring the checkpoint")
                engine.restore(restored.folder)
                standing = restored.standing
        yield Setup(
            stream=training_stream(job, corpus, tokenizer),
            validation=validation_stream(job, corpus, tokenizer),
            transform=Transform(
                masking=masking_of(job), vocabulary=tokenizer.vocabulary, device=port.device
            ),
            tokenizer=tokenizer,
            encoder=encoder,
            terms=terms,
            engine=engine,
            standing=standing,
            num_tokens=corpus.split(layout.TRAIN).num_tokens,
        )


def make_encoder(job: PretrainJob, tokenizer: CorpusTokenizer, directory: Path | None) -> Encoder:
    heads = heads_of(job.objective)
    pad_id = tokenizer.pad_id
    if directory is None:
        encoder = build_encoder(
            job.model,
            vocab_size=tokenizer.padded_vocab_size,
            pad_id=pad_id,
            heads=heads,
            seed=job.seed,
        )
    else:
        encoder = open_encoder(read_directory(directory), heads=heads, seed=job.seed).encoder
    if job.compute.checkpoint_activations:
        encoder.checkpoint_activations()
    if job.compute.compile:
        encoder.compile_layers()
    return encoder


def configure_torch(job: TrainingJob) -> None:
    """As many threads as the worker has CPUs: others' would only stand in each other's way."""
    torch.set_num_threads(max(1, math.floor(job.cluster.cpus_per_worker)))
    if job.compute.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    torch.backends.cuda.matmul.allow_tf32 = True


def corpus_cache() -> Path:
    """On the node; the same for all runs of a user, so that a corpus is copied once."""
    given = os.environ.get("ORCHESTRATOR_CACHE")
    if given:
        return Path(given)
    return Path(tempfile.gettempdir()) / f"orchestrator-cache-{os.getuid()}"
