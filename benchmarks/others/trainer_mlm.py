"""Masked words with the Trainer of transformers, as its examples do it: text in blocks of 128.

    python trainer_mlm.py JOB.yaml CORPUS ANSWER.json

The same documents, model, precision, optimizer, rates, steps and tokens a step as the job's; then
the loss of the job's own validation packs. `benchmarks/pretrain.py` and `learning.py` run it.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from orchestrator.corpus import layout
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.encoder.build import open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.families import WORDS_ONLY, config_values
from orchestrator.objectives.ready import make_ready
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.recipe import masking_of, validation_stream

BLOCK = 128
AT_ONCE = 32  # blocks: a micro-batch of 4,096 tokens


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.took: list[float] = []
        self._began = 0.0

    def on_step_begin(self, *_: object, **__: object) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.took.append(time.perf_counter() - self._began)


def main(job_file: Path, corpus: Path, answer: Path) -> None:
    job = thaw(job_file.read_text())
    assert isinstance(job, PretrainJob)
    torch.set_num_threads(2)
    folder = open_corpus(corpus).tokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = open_tokenizer(folder)
    torch.manual_seed(job.seed)
    values = config_values(job.model, vocab_size=own.padded_vocab_size, pad_id=own.pad_id)
    model = BertForMaskedLM(BertConfig(**values))
    blocks = grouped(corpus, own)
    per_step = job.batch.global_tokens // BLOCK
    clock = Clock()
    has_gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                max_steps=job.budget.steps,
                per_device_train_batch_size=min(AT_ONCE, per_step),
                gradient_accumulation_steps=max(1, per_step // AT_ONCE),
                learning_rate=job.optim.lr,
                warmup_steps=int(job.schedule.warmup),
                lr_scheduler_type="constant_with_warmup",
                weight_decay=job.optim.weight_decay,
                adam_beta1=job.optim.betas[0],
                adam_beta2=job.optim.betas[1],
                adam_epsilon=job.optim.eps,
                max_grad_norm=job.optim.clip_norm or 0.0,
                bf16=job.precision.value == "bf16",
                use_cpu=not has_gpu,
                torch_compile=has_gpu,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                seed=job.seed,
            ),
            train_dataset=blocks,
            data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
            callbacks=[clock],
        )
        trainer.train()
        model.cpu().save_pretrained(f"{scratch}/model")
        loss = validation_loss(Path(scratch, "model"), job, corpus)
    speed = job.batch.global_tokens / statistics.median(clock.took[4:] or clock.took)
    answer.write_text(json.dumps({"tokens_per_s": speed, "loss": loss}))


def grouped(corpus: Path, tokenizer: CorpusTokenizer) -> Dataset:
    """The documents of the training split end to end, each with its special tokens, in blocks."""
    split = open_corpus(corpus).split(layout.TRAIN)
    documents = split.read(np.arange(split.num_documents))
    template = tokenizer.template
    pieces = [
        piece
        for begin, end in pairwise(documents.offsets_D1.tolist())
        for piece in (template.prefix, documents.tokens_T[begin:end], template.suffix)
    ]
    tokens = np.concatenate(pieces)
    blocks = tokens[: len(tokens) // BLOCK * BLOCK].reshape(-1, BLOCK)
    return Dataset.from_dict({"input_ids": blocks.tolist()})


def validation_loss(folder: Path, job: PretrainJob, corpus_folder: Path) -> float:
    corpus = open_corpus(corpus_folder)
    tokenizer = open_tokenizer(corpus.tokenizer)
    encoder = open_encoder(read_directory(folder), heads=WORDS_ONLY, seed=0).encoder.eval()
    stream = validation_stream(job, corpus, tokenizer)
    assert stream is not None
    total = count = 0.0
    for pack, _ in stream.packs(Cursor()):
        if pack.epoch or pack.index >= job.evaluation.packs:
            break
        ready = make_ready(pack, masking_of(job), tokenizer.vocabulary)
        with torch.no_grad():
            hidden = encoder(ready.tokens_T, ready.positions_T, ready.segments_T, ready.layout)
            total += encoder.vocabulary_loss(hidden, ready.chosen_P, ready.targets_P).item()
        count += len(ready.targets_P)
    return total / count


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
