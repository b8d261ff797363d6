"""Two ranks that train a little at every stage of ZeRO, and save what they hold twice.

`rank_main` is one; test_weights starts both. Below FOLDER/<stage> are `step`, the files of a
checkpoint, and `held.pt`, the weights as DeepSpeed itself gathers them.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import WORDS_AND_PAIRS
from orchestrator.settings.model import Model
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.zero import Zero
from orchestrator.training.zero import Division, ZeroEngine
from tests.encoder.small import Feed, feed_of
from tests.training.ranks import redirect

WORLD = 2
# Parameters of odd sizes, which two ranks cannot share evenly.
MODEL = Model(layers=2, hidden=24, heads=2, intermediate=7, max_positions=67, segments=3)
NUM_WORDS = 98


class Training(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, feed: Feed) -> tuple[Tensor, Tensor]:
        hidden_TD = feed.hidden(self.encoder)
        loss = self.encoder.vocabulary_loss(hidden_TD, feed.chosen_P, feed.targets_P)
        labels_S = torch.zeros(len(feed.firsts_S))
        loss = loss + self.encoder.pair_loss(hidden_TD, feed.firsts_S, labels_S)
        return loss / 100, loss.detach()


def train(stage: int, precision: Precision, folder: Path) -> None:
    encoder = build_encoder(MODEL, vocab_size=NUM_WORDS, pad_id=1, heads=WORDS_AND_PAIRS, seed=3)
    division = Division(
        zero=Zero(stage=stage),
        precision=precision,
        optim=Optim(lr=0.01),
        world=WORLD,
        device=torch.device("cpu"),
    )
    engine = ZeroEngine(Training(encoder), division)
    for step in range(3):
        feed = feed_of([20, 13, 30], seed=WORLD * step + distributed.get_rank())
        engine.accumulate(feed, is_last=True)
        assert engine.step(0.01).is_applied
    (folder / "step").mkdir(parents=True, exist_ok=True)
    for name, content in engine.snapshot().items():
        torch.save(content, folder / "step" / name)
    held = gathered(engine, stage, precision)
    if distributed.get_rank() == 0:
        torch.save(held, folder / "held.pt")


def gathered(engine: ZeroEngine, stage: int, precision: Precision) -> dict[str, Tensor]:
    """By names of the encoder's model; every rank takes part."""
    from deepspeed.utils import safe_get_full_fp32_param

    masters: dict[int, Tensor] = {}
    if stage == 0 and precision is not Precision.FP32:
        optimizer: Any = engine._engine.optimizer
        for computed, whole in zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True):
            masters |= {id(one): other for one, other in zip(computed, whole, strict=True)}
    held = {}
    for name, parameter in engine.module.encoder.model.named_parameters():  # type: ignore
        whole = masters.get(id(parameter), parameter)
        held[name] = (whole if stage == 0 else safe_get_full_fp32_param(parameter)).detach().clone()
    return held


def rank_main(folder: Path, rank: int, precision: Precision) -> None:
    redirect(folder / f"output-{rank}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(WORLD), "LOCAL_RANK": str(rank)}
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=WORLD
    )
    for stage in range(4):
        train(stage, precision, folder / str(stage))
    distributed.barrier()
    os._exit(0)  # DeepSpeed's threads and hooks are of no more use
