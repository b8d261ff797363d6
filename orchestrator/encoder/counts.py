"""Parameters and FLOPs in closed form: equal to what torch counts on the model that is built.

`plan` shows them beside the published figures, the meter divides by them. Without torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from orchestrator.encoder.families import BLUEPRINTS, Head, Heads
from orchestrator.settings.model import Family, Model


@dataclass(frozen=True, kw_only=True)
class Parameters:
    embeddings: int  # the decoder's matrix is the same parameter and counted here
    layers: int
    vocabulary_head: int = 0
    pooler: int = 0
    pair_head: int = 0

    @property
    def total(self) -> int:
        return sum(astuple(self))

    @property
    def non_embedding(self) -> int:
        return self.total - self.embeddings


def count_parameters(model: Model, *, vocab_size: int, pad_id: int, heads: Heads) -> Parameters:
    width, inner = model.hidden, model.feed_forward
    norm = 2 * width
    positions = model.max_positions + BLUEPRINTS[model.family].first_position(pad_id)
    attention = 4 * (width * width + width)
    feed_forward = 2 * width * inner + inner + width
    has_pairs = Head.PAIR in heads
    return Parameters(
        embeddings=(vocab_size + positions + model.segments) * width + norm,
        layers=model.layers * (attention + feed_forward + 2 * norm),
        vocabulary_head=(width * width + width + norm + vocab_size)
        if Head.VOCABULARY in heads
        else 0,
        pooler=(width * width + width) if has_pairs else 0,
        pair_head=(2 * width + 2) if has_pairs else 0,
    )


def count_flops(
    model: Model, *, vocab_size: int, lengths: Iterable[int], num_predicted: int, num_pairs: int
) -> int:
    """Floating-point operations of training on samples of these lengths, forward and backward.

    With T tokens, S samples of lengths n, P predicted tokens, N pairs, L layers, width D, inner
    width F and V words:

        forward = T·L·(8·D² + 4·D·F)    projections and feed-forward layers
                + L·4·D·Σ n²            scores, and what they weigh; within a sample only
                + P·(2·D² + 2·D·V)      transform and decoder, at predicted tokens only
                + N·(2·D² + 4·D)        pooler and pair classifier
        total   = 3 · forward           each product has two more in the backward pass

    Only matrix products count, as in torch.utils.flop_counter, and only what the result needs:
    recomputation under activation checkpointing is work, but not of the model.
    """
    width, inner = model.hidden, model.feed_forward
    num_tokens = sum_squares = 0
    for length in lengths:
        num_tokens += length
        sum_squares += length * length
    layer = num_tokens * (8 * width * width + 4 * width * inner) + 4 * width * sum_squares
    vocabulary = num_predicted * (2 * width * width + 2 * width * vocab_size)
    pairs = num_pairs * (2 * width * width + 4 * width)
    return 3 * (model.layers * layer + vocabulary + pairs)


@dataclass(frozen=True, kw_only=True)
class Published:
    parameters: float
    counted: str  # what the figure holds, found by counting


_TURC = "30,522 words, both heads (Turc et al. 2019)"
_LIU = "50,265 words, with the vocabulary head (Liu et al. 2019)"
# By family, layers and width.
_PUBLISHED = {
    (Family.BERT, 2, 128): Published(parameters=4.4e6, counted=_TURC),
    (Family.BERT, 4, 256): Published(parameters=11.3e6, counted=_TURC),
    (Family.BERT, 4, 512): Published(parameters=29.1e6, counted=_TURC),
    (Family.BERT, 8, 512): Published(parameters=41.7e6, counted=_TURC),
    (Family.BERT, 12, 768): Published(
        parameters=110e6, counted="30,522 words, both heads: 110.1 M (Devlin et al. 2018)"
    ),
    (Family.BERT, 24, 1024): Published(
        parameters=340e6, counted="30,522 words, both heads: 336.2 M (Devlin et al. 2018)"
    ),
    (Family.ROBERTA, 12, 768): Published(parameters=125e6, counted=_LIU),
    (Family.ROBERTA, 24, 1024): Published(parameters=355e6, counted=_LIU),
}


def published(model: Model) -> Published | None:
    """The figure in the paper for an encoder of this size, where there is one."""
    return _PUBLISHED.get((model.family, model.layers, model.hidden))
