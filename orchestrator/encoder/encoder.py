"""An encoder: a model of transformers that reads packs, and its heads at chosen places.

`build.py` makes it; objectives call it, once or more often, within one pass of a pack. Losses are
sums: what they are divided by is counted over the whole step.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from orchestrator.encoder.attention import Layout
from orchestrator.encoder.families import BLUEPRINTS, Head
from orchestrator.encoder.heads import decoded_loss
from orchestrator.settings.model import Model


class Encoder(nn.Module):
    def __init__(self, model: PreTrainedModel, settings: Model, pad_id: int) -> None:
        super().__init__()
        self.model = model
        self._settings = settings
        self._blueprint = BLUEPRINTS[settings.family]
        self._first_position = self._blueprint.first_position(pad_id)

    def forward(
        self, tokens_T: Tensor, positions_T: Tensor, segments_T: Tensor, layout: Layout
    ) -> Tensor:
        """The last hidden states, [T, D]. Positions count from 0 in each sample."""
        if self._settings.segments == 1:
            segments_T = torch.zeros_like(segments_T)
        output = self.model.base_model(
            input_ids=tokens_T[None],
            position_ids=positions_T[None] + self._first_position,
            token_type_ids=segments_T[None],
            layout=layout,
        )
        return cast(Tensor, output.last_hidden_state).squeeze(0)

    def vocabulary_loss(self, hidden_TD: Tensor, chosen_P: Tensor, targets_P: Tensor) -> Tensor:
        """The sum over the chosen tokens of the cross-entropy of what should stand there."""
        states_PD = self._transformed(hidden_TD, chosen_P)
        decoder = self._decoder
        return decoded_loss(states_PD, decoder.weight, decoder.bias, targets_P.long())

    def vocabulary_logits(self, hidden_TD: Tensor, chosen_P: Tensor) -> Tensor:
        """[P, V], all of them: for few tokens, or to draw from."""
        return cast(Tensor, self._decoder(self._transformed(hidden_TD, chosen_P)))

    def pair_loss(self, hidden_TD: Tensor, firsts_N: Tensor, labels_N: Tensor) -> Tensor:
        """The sum over pairs, of which the first tokens are given: 0 they follow, 1 they do not."""
        logits_N2 = self.pair_logits(hidden_TD, firsts_N).float()
        return cross_entropy(logits_N2, labels_N.long(), reduction="sum")

    def pair_logits(self, hidden_TD: Tensor, firsts_N: Tensor) -> Tensor:
        if Head.PAIR not in self.heads:
            raise TypeError(f"{type(self.model).__name__} was built without a head for pairs.")
        pooler = self.model.base_model.get_submodule("pooler")
        # The pooler takes the first token of each row: here each row is one token.
        pooled_ND = pooler(hidden_TD[firsts_N, None])
        return cast(Tensor, self.model.get_submodule(str(self._blueprint.pair_head))(pooled_ND))
