"""What one would write with DeepSpeed alone: the same encoder and packs, and nothing else.

    torchrun --nproc-per-node 2 deepspeed_loop.py JOB.yaml CORPUS ANSWER.json

Writes the seconds of each step. `benchmarks/pretrain.py` runs it beside the framework.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed
import torch
from torch import distributed

from orchestrator.corpus.packs.loader import Loader
from orchestrator.corpus.packs.stream import Cursor, Share
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.objectives.ready import make_ready
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.recipe import masking_of, training_stream


def main(job_file: Path, corpus_folder: Path, answer: Path) -> None:
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    torch.set_num_threads(1)
    deepspeed.init_distributed("gloo", verbose=False)
    job = thaw(job_file.read_text())
    assert isinstance(job, PretrainJob)
    corpus = open_corpus(corpus_folder)
    tokenizer = open_tokenizer(corpus.tokenizer)
    encoder = build_encoder(
        job.model,
        vocab_size=tokenizer.padded_vocab_size,
        pad_id=tokenizer.pad_id,
        heads=WORDS_ONLY,
        seed=job.seed,
    )
    share = Share(
        packs_per_step=job.batch.packs,
        micro_packs=1,
        world=distributed.get_world_size(),
        rank=distributed.get_rank(),
    )
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": share.accumulation,
        "gradient_clipping": job.optim.clip_norm or 0.0,
        "zero_optimization": {"stage": job.zero.stage, "reduce_bucket_size": 50_000_000},
        "bf16": {"enabled": job.precision.value == "bf16"},
        "data_types": {"grad_accum_dtype": "fp32"},
    }
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=job.optim.lr, weight_decay=job.optim.weight_decay, fused=True
    )
    engine, *_ = deepspeed.initialize(model=Loss(encoder), optimizer=optimizer, config=config)
    masking, vocabulary = masking_of(job), tokenizer.vocabulary
    took = []
    loader = Loader(
        training_stream(job, corpus, tokenizer),
        lambda _: share,
        Cursor(),
        transform=lambda packs: make_ready(packs[0], masking, vocabulary),
    )
    with loader as steps:
        for _ in range(job.budget.steps or 0):
            began = time.perf_counter()
            micro_batches, _ = next(steps)
            for pack in micro_batches:
                loss = engine(pack)
                engine.backward(loss)
                engine.step()
            if not math.isfinite(loss.item()):
                raise SystemExit("the loss is not a number")
            took.append(time.perf_counter() - began)
    if distributed.get_rank() == 0:
        answer.write_text(json.dumps(took))


class Loss(torch.nn.Module):
    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pack: object) -> torch.Tensor:
        hidden = self.encoder(pack.tokens_T, pack.positions_T, pack.segments_T, pack.layout)
        total = self.encoder.vocabulary_loss(hidden, pack.chosen_P, pack.targets_P)
        return total / max(len(pack.targets_P), 1)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
