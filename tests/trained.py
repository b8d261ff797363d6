"""Pretraining runs that nobody trained: a folder with a job and checkpoints of given weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.corpus.layout import corpus_uri
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import Storage
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.corpus import Algorithm, Corpus, Tokenizer
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import freeze
from orchestrator.settings.model import Family, Model
from orchestrator.settings.objective import Objective, Pairs
from orchestrator.settings.pretrain import PretrainJob
from tests.corpus.making import a_corpus, a_document, make, text_of

if TYPE_CHECKING:
    from orchestrator.encoder.encoder import Encoder

ID = "20261121-031522-small-aaaa"
# Weights large enough that no two words have almost the same logit.
BERT = Model(layers=2, hidden=16, heads=2, max_positions=64, initializer_range=0.2)
ROBERTA = Model(
    **dict(family=Family.ROBERTA, segments=1, layer_norm_eps=1e-5),
    **dict(layers=2, hidden=16, heads=2, max_positions=64, initializer_range=0.2),
)


def a_job(folder: Path, model: Model = BERT, **changes: Any) -> PretrainJob:
    """On a corpus whose text is written into the folder; with pairs where the family has them."""
    text = folder / "text.txt"
    text.write_text(text_of([a_document(number) for number in range(120)]))
    is_bert = model.family is Family.BERT
    algorithm = Algorithm.WORDPIECE if is_bert else Algorithm.BPE
    given: dict[str, Any] = {
        "corpus": a_corpus(text, tokenizer=Tokenizer(algorithm=algorithm, vocab_size=300)),
        "model": model,
        "objective": Objective(pairs=Pairs.NSP if is_bert else Pairs.NONE),
        "batch": Batch(global_tokens=768, pack_tokens=128, seq_len=48),
        "budget": Budget(steps=20),
    }
    return PretrainJob(**(given | changes))


def prepare(runs: Storage, corpus: Corpus) -> str:
    uri = corpus_uri(runs.uri, corpus)
    make(corpus, uri)
    return uri


def a_run(runs: Storage, job: Job, run_id: str = ID) -> RunFolder:
    run = RunFolder(runs, run_id)
    lineage = {
        "parent": None,
        "git": {"commit": "0123abcd", "is_dirty": True, "remote": "", "diff": "x"},
        "packages": {"torch": "2.13.0"},
    }
    run.storage.write(layout.LINEAGE, json.dumps(lineage).encode())
    run.storage.write(layout.JOB, freeze(job).encode())
    return run


def commit(
    run: RunFolder, step: int, *, loss: float | None = None, encoder: Encoder | None = None
) -> None:
    """Of one rank without ZeRO."""
    checkpoints = Checkpoints(run.storage)
    pen = checkpoints.open_rank(step, 0, attempt=1)
    with pen.open("mp_rank_00_model_states.pt") as file:
        if encoder is None:
            file.write(b"weights" * 100)
        else:
            import torch

            module = torch.nn.ModuleDict({"encoder": encoder}).state_dict()
            torch.save({"module": module, "buffer_names": [], "optimizer": {}}, file)
    pen.finish()
    standing = {
        "step": step,
        "cursor": {"epoch": 0, "window": 0, "pack": 6 * step, "packs_total": 6 * step},
        **{"tokens": 700 * step, "trained_s": 1.0, "spent_s": 2.0, "allowance_s": 0.0},
    }
    facts = {
        "standing": standing,
        "zero_stage": 0,
        "precision": "fp32",
        "validation_loss": loss,
    }
    checkpoints.commit(step, world=1, attempt=1, facts=facts)
