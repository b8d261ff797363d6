"""An encoder and the head of a task: from a pack of examples to what the head says of them."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from orchestrator.encoder.encoder import Encoder
from orchestrator.settings.transfer import Reading
from orchestrator.tasks.heads.head import Head, Outputs
from orchestrator.tasks.packed import TaskPack


class TaskModel(nn.Module):
    def __init__(self, encoder: Encoder, head: Head, reading: Reading = Reading.LAST) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.reading = reading

    def forward(self, pack: TaskPack) -> Outputs:
        return cast(Outputs, self.head(self.states(pack), pack))

    def states(self, pack: TaskPack) -> Tensor:
        """[T, D], or as wide as several layers of them."""
        inputs = (pack.tokens_T, pack.positions_T, pack.segments_T, pack.layout)
        if self.reading is Reading.LAST:
            return cast(Tensor, self.encoder(*inputs))
        layers = self.encoder.layer_states(*inputs)[-self.reading.num_layers :]
        if self.reading is Reading.SUM_OF_FOUR:
            return torch.stack(layers).sum(dim=0)
        return torch.cat(layers, dim=-1)
