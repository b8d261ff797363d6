"""An encoder: a model of transformers that reads packs, and its heads at chosen places.

`build.py` makes it; objectives call it, once or more often, within one pass of a pack. Losses are
sums: what they are divided by is counted over the whole step.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from orchestrator.encoder.attention import Layout
from orchestrator.encoder.families import BLUEPRINTS, Head, Heads
from orchestrator.encoder.heads import TRANSFORMS, decoded_loss, decoded_words
from orchestrator.settings.model import Model


class Encoder(nn.Module):
    def __init__(
        self, model: PreTrainedModel, settings: Model, *, pad_id: int, heads: Heads
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.pad_id = pad_id
        self.heads = heads
        self._blueprint = BLUEPRINTS[settings.family]

    @property
    def vocab_size(self) -> int:
        return int(self.model.config.vocab_size)

    @property
    def _vocabulary_head(self) -> nn.Module:
        return self.model.get_submodule(self._blueprint.vocabulary_head)

    def forward(
        self, tokens_T: Tensor, positions_T: Tensor, segments_T: Tensor, layout: Layout
    ) -> Tensor:
        """The last hidden states, [T, D]. Positions count from 0 in each sample."""
        output = self._read(tokens_T, positions_T, segments_T, layout)
        return cast(Tensor, output.last_hidden_state).squeeze(0)

    def layer_states(
        self, tokens_T: Tensor, positions_T: Tensor, segments_T: Tensor, layout: Layout
    ) -> list[Tensor]:
        """[T, D] of every layer, those of the embeddings first."""
        output = self._read(tokens_T, positions_T, segments_T, layout, output_hidden_states=True)
        return [states_1TD.squeeze(0) for states_1TD in output.hidden_states]

    @property
    def layers(self) -> list[nn.Module]:
        """The lowest first."""
        modules = self.model.base_model.modules()
        return [each for each in modules if isinstance(each, GradientCheckpointingLayer)]

    def _read(
        self,
        tokens_T: Tensor,
        positions_T: Tensor,
        segments_T: Tensor,
        layout: Layout,
        **options: bool,
    ) -> Any:
        if self.settings.segments == 1:
            segments_T = torch.zeros_like(segments_T)
        return self.model.base_model(
            input_ids=tokens_T[None],
            position_ids=positions_T[None] + self._blueprint.first_position(self.pad_id),
            token_type_ids=segments_T[None],
            layout=layout,
            **options,
        )

    def vocabulary_loss(self, hidden_TD: Tensor, chosen_P: Tensor, targets_P: Tensor) -> Tensor:
        """The sum over the chosen tokens of the cross-entropy of what should stand there."""
        states_PD = self._transformed(hidden_TD, chosen_P)
        decoder = cast(nn.Linear, self._vocabulary_head.get_submodule("decoder"))
        return decoded_loss(states_PD, decoder.weight, decoder.bias, targets_P.long())

    def vocabulary_words(self, hidden_TD: Tensor, chosen_P: Tensor) -> Tensor:
        """[P]: the likeliest word at each chosen token.

        Modules are called once however many those are: ranks that hold parts of the weights must
        call them equally often.
        """
        states_PD = self._transformed(hidden_TD, chosen_P)
        decoder = cast(nn.Linear, self._vocabulary_head.get_submodule("decoder"))
        return decoded_words(states_PD, decoder.weight, decoder.bias)

    def vocabulary_logits(self, hidden_TD: Tensor, chosen_P: Tensor) -> Tensor:
        """[P, V], all of them: to draw from, or for few tokens."""
        states_PD = self._transformed(hidden_TD, chosen_P)
        return cast(Tensor, self._vocabulary_head.get_submodule("decoder")(states_PD))

    def pair_loss(self, hidden_TD: Tensor, firsts_N: Tensor, labels_N: Tensor) -> Tensor:
        """The sum over pairs, given by their first tokens, of the cross-entropy of their labels."""
        logits_N2 = self.pair_logits(hidden_TD, firsts_N).float()
        return cross_entropy(logits_N2, labels_N.long(), reduction="sum")

    def pair_logits(self, hidden_TD: Tensor, firsts_N: Tensor) -> Tensor:
        """[N, 2]: the second text follows the first, or it does not."""
        assert self._blueprint.pair_head is not None and Head.PAIR in self.heads
        # The pooler takes the first token of each row, so each row is one token.
        pooled_ND = self.model.base_model.get_submodule("pooler")(hidden_TD[firsts_N, None])
        return cast(Tensor, self.model.get_submodule(self._blueprint.pair_head)(pooled_ND))

    def checkpoint_activations(self) -> None:
        """Keep only what goes into each layer; the backward pass computes the rest again."""
        self.model.activation_checkpointing_enable()

    def compile_layers(self) -> None:
        """Each layer by itself: they are alike, so one is compiled. See `compile_findings`."""
        for layer in self.layers:
            layer.compile(dynamic=True)

    def _transformed(self, hidden_TD: Tensor, chosen_P: Tensor) -> Tensor:
        return TRANSFORMS[self.settings.family](self._vocabulary_head, hidden_TD[chosen_P])
