"""A small prepared corpus, a job that trains on it, and a run that did: for plans and audits."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.corpus.layout import corpus_uri
from orchestrator.corpus.packs.audit import StepRecord
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.planning.prepared import read_prepared
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.steps import StepWriter
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.settings.batch import Batch
from orchestrator.settings.budget import Budget
from orchestrator.settings.kinds import freeze
from orchestrator.settings.model import Model
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.recipe import course_of, share_of, training_stream
from orchestrator.training.standing import Standing
from tests.corpus.making import a_corpus, a_document, make, text_of
from tests.runs.checkpoints.making import make as make_checkpoint
from tests.runs.checkpoints.making import tell

BATCH = Batch(global_tokens=1024, pack_tokens=256, seq_len=32)
MODEL = Model(layers=2, hidden=32, heads=2, max_positions=64)


def prepare(storage: str, folder: Path, *, documents: int = 150, **settings: Any) -> PretrainJob:
    """A job whose corpus is there."""
    text = folder / "text.txt"
    text.write_text(text_of([a_document(number) for number in range(documents)]))
    whole = {"part_bytes": 2**20} | settings  # one part: the fastest
    job = PretrainJob(
        corpus=a_corpus(text, **whole), model=MODEL, batch=BATCH, budget=Budget(steps=10)
    )
    make(job.corpus, corpus_uri(storage, job.corpus))
    return job


class Training:
    """Records a run as the ranks of a group would, without a model."""

    def __init__(
        self, storage: Storage, job: PretrainJob, run_id: str, *, copy: Path | None = None
    ) -> None:
        """`copy` is the corpus on a disk, where the storage has none."""
        self.job = job
        self.folder = RunFolder(storage, run_id)
        corpus = open_storage(corpus_uri(storage.uri, job.corpus))
        facts = {"manifest": read_prepared(corpus).checksum}
        run = self.folder.storage
        run.write(layout.LINEAGE, json.dumps({"packages": {}, "corpus": facts}).encode())
        run.write(layout.JOB, freeze(job).encode())
        self._prepared = open_corpus(copy or Path(corpus.uri))
        self._tokenizer = open_tokenizer(self._prepared.tokenizer)
        self._standings = {0: Standing()}
        self.attempt = 0

    def attempt_from(self, step: int, *, steps: int, world: int, commit: bool = True) -> None:
        """An attempt goes on from there; where told so, its last step has a checkpoint."""
        self.attempt += 1
        run = self.folder.storage
        tell(run, "running", attempt=self.attempt, workers=world)
        stream = training_stream(self.job, self._prepared, self._tokenizer)
        with closing(StepWriter(run, attempt=self.attempt)) as writer:
            for number in range(step + 1, step + steps + 1):
                before = self._standings[number - 1]
                packs = course_of(self.job).packs_per_step(before.cursor.packs_total)
                fed = tokens = 0
                end = Cursor()
                for rank in range(world):
                    share = share_of(self.job, packs, world=world, rank=rank)
                    laid_out, end = stream.step(before.cursor, share)
                    own = [pack for row in laid_out for pack in row]
                    fed += sum(pack.fed_hash() for pack in own)
                    tokens += sum(len(pack.tokens_T) for pack in own if pack.weight)
                record = StepRecord(
                    step=number,
                    attempt=self.attempt,
                    begin=before.cursor,
                    end=end,
                    num_packs=packs,
                    fed_hash=fed % 2**64,
                )
                writer.write(record.to_plain())
                self._standings[number] = replace(
                    before, step=number, cursor=end, tokens=before.tokens + tokens
                )
        if commit:
            self.commit(step + steps, world=world)

    def commit(self, step: int, *, world: int = 1, **changes: Any) -> None:
        standing = replace(self._standings[step], **changes)
        make_checkpoint(
            self.folder.storage,
            step,
            world=world,
            attempt=self.attempt,
            standing=standing.to_plain(),
        )
