"""What the encoder keeps of a micro-batch for its backward pass, in closed form. No torch.

The form says what `encoder/` and PyTorch allocate, seen by counting the bytes of all live tensors.
`footprint.py` adds it to a worker's states.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.settings.model import Model
from orchestrator.settings.precision import Precision

_HEAD_ROWS = 256  # predictions whose logits exist at once


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """What a worker computes at once, at most."""

    tokens: int
    predictions: int
    seq_len: int
    on_gpu: bool


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What activations depend on beside the micro-batch."""

    model: Model
    vocab_size: int
    precision: Precision
    is_checkpointed: bool  # compute.checkpoint_activations


def activations_bytes(kept: Kept, micro: MicroBatch) -> int:
    """At their highest, which is when the loss is computed.

    With L layers, H hidden, F intermediate, A heads, V words; T tokens, M predictions, n tokens of
    a sample; p bytes of a number as it is computed with:

        layer      = p (5 H + 2 F) + attention + 2 dropouts + 16        for each token
        attention  = 3 p H + 4 A                 on GPUs: query, key, value, a float for each head
                   = 16 H + 4 A                  on CPUs: in fp32, the output once more
                   = 12 H + 12 A n               on CPUs with dropout: the scores, three times
        dropout    = H on GPUs, p H on CPUs      each; nothing where there is none
        embeddings = p H + 32 + 1 dropout        for each token
        head       = 4 V (H + 1) + 3 p H M + 256 V × 6 + 4 V H
        all        = T (embeddings + L layer) + head
        with activation checkpointing = T (embeddings + L p H + layer) + head

    Of the head, gradients are made on the way forward: the matrix's in fp32, and once more while
    256 predictions add to it; no more logits exist at once.
    """
    model, p = kept.model, kept.precision.size_bytes
    width = model.hidden
    mask = (width if micro.on_gpu else p * width) if model.dropout else 0
    dense = p * (5 * width + 2 * model.feed_forward)
    layer = dense + _attention(model, p, micro) + 2 * mask + 16
    embeddings = p * width + 32 + mask
    head = 4 * kept.vocab_size * (2 * width + 1) + 3 * p * width * micro.predictions
    head += min(_HEAD_ROWS, micro.predictions) * kept.vocab_size * 6
    layers = model.layers * layer
    if kept.is_checkpointed:
        layers = model.layers * p * width + layer
    return micro.tokens * (embeddings + layers) + head


def _attention(model: Model, p: int, micro: MicroBatch) -> int:
    """Bytes for each token of a layer. On GPUs it is a kernel that keeps no scores."""
    width, heads = model.hidden, model.heads
    if micro.on_gpu:
        return 3 * p * width + 4 * heads
    if model.attention_dropout:
        return 12 * width + 12 * heads * micro.seq_len
    return 16 * width + 4 * heads
