"""Weights from a run to users and to the next run, with a real Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from orchestrator.corpus.layout import TOKENIZER
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import heads_of
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.storage import open_storage
from orchestrator.settings.build import flatten, to_plain
from orchestrator.settings.precision import Precision
from orchestrator.training.weights import weights_of
from tests.real import Orchestrate
from tests.trained import ID, a_job, a_run, commit, prepare

pytestmark = pytest.mark.ray


@pytest.mark.long
def test_a_checkpoint_becomes_a_directory_and_the_start_of_another_run(
    orchestrate: Orchestrate, tmp_path: Path
) -> None:
    storage = open_storage(tmp_path / "runs")
    job = a_job(tmp_path)
    tokenizer = open_tokenizer(Path(prepare(storage, job.corpus)) / TOKENIZER)
    run = a_run(storage, job)
    trained = build_encoder(
        job.model,
        vocab_size=tokenizer.padded_vocab_size,
        pad_id=tokenizer.pad_id,
        heads=heads_of(job.objective),
        seed=7,
    )
    commit(run, 300, loss=2.0, encoder=trained)
    commit(run, 400, loss=2.5)  # no weights at all: nobody may read it
    where = ("--storage", storage.uri)

    told = orchestrate("run", "export", "encoder=small", "checkpoint=best", *where).stdout
    made = Archive(storage).find("export")
    folder = Path(made.storage.uri_of(layout.EXPORT))
    assert str(folder) in told
    lineage = json.loads((folder / layout.EXPORTED).read_text())
    assert (lineage["run"]["id"], lineage["checkpoint"]["step"]) == (ID, 300)
    assert made.lineage()["parent"]["run"] == ID
    theirs = AutoModelForMaskedLM.from_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) == theirs.config.vocab_size
    words = trained.model.get_input_embeddings().weight[: tokenizer.vocab_size]
    assert torch.equal(theirs.get_input_embeddings().weight, words)

    # A rate this small moves no weight, so what it ends with is what it began with.
    corpus = flatten({"corpus": to_plain(job.corpus)})
    settings = ["corpus=text", *(f"{key}={json.dumps(value)}" for key, value in corpus.items())]
    given = ("zero=2", "precision=fp32", "optim.lr=1e-30", "budget.steps=2", "objective=mlm_nsp")
    batch = ("batch.global_tokens=256", "batch.pack_tokens=128", "batch.seq_len=48")
    start = (*settings, *given, *batch, "evaluation.every_steps=null", "name=further")
    orchestrate("run", "pretrain", "encoder=small@best", *start, *where)
    further = Archive(storage).find("further")
    assert to_plain(further.job())["encoder"] == f"{ID}@300"
    source = Path(further.storage.uri_of(layout.checkpoint(2)))
    found = weights_of(source, 2, Precision.FP32)
    expected = dict(trained.model.named_parameters())
    assert found.keys() == expected.keys()
    for name, weight in expected.items():  # of 0 it makes 1e-30
        torch.testing.assert_close(found[name], weight.detach(), rtol=0, atol=1e-20)
