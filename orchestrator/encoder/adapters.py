"""Low-rank adapters on the queries and values of attention: few weights to train, none afterwards.

`finetune` adds them to an encoder before training and merges them before the model is saved, so
what others open is an encoder like any other. The layers are those of peft, which is imported only
where there are adapters: that takes a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from orchestrator.encoder.encoder import Encoder
from orchestrator.settings.model import Family

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

# Where a family's attention has its projections.
_TARGETS: Mapping[Family, tuple[str, ...]] = {
    Family.BERT: ("attention.self.query", "attention.self.value"),
    Family.ROBERTA: ("attention.self.query", "attention.self.value"),
}


def add_adapters(encoder: Encoder, *, rank: int, alpha: float, dropout: float, seed: int) -> None:
    """In place. Its outputs stay what they are until one is trained; all else is frozen."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # it is divided by the rank
        lora_dropout=dropout,
        target_modules=list(_TARGETS[encoder.settings.family]),
    )
    encoder.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, encoder.model)


def merge_adapters(encoder: Encoder) -> None:
    """In place: into the weights that they were added to, which have their own names again."""
    for parent, name, adapted in list(_adapted(encoder)):
        adapted.merge(safe_merge=True)
        setattr(parent, name, adapted.get_base_layer())
    encoder.requires_grad_(True)


def _adapted(encoder: Encoder) -> Iterator[tuple[nn.Module, str, LoraLayer]]:
    from peft.tuners.lora import LoraLayer

    for parent in encoder.modules():
        for name, module in parent.named_children():
            if isinstance(module, LoraLayer):
                yield parent, name, module
