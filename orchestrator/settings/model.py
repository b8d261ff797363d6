"""What an encoder is made of: its family, its size, its dropout.

`encoder/` builds it and counts it; a Hugging Face directory's config is read into the same noun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding

_SHARE = Bounds(at_least=0, at_most=0.9)


class Family(StrEnum):
    BERT = "bert"
    ROBERTA = "roberta"


class Activation(StrEnum):
    """Of the feed-forward layers, as transformers calls them."""

    GELU = "gelu"
    GELU_NEW = "gelu_new"  # its approximation by tanh
    RELU = "relu"
    SILU = "silu"


@dataclass(frozen=True, kw_only=True)
class Model:
    family: Family = setting("Whose layers it has", default=Family.BERT)
    layers: int = setting("How many", bounds=Bounds(at_least=1, at_most=1024))
    hidden: int = setting("Width of a token's state", bounds=Bounds(at_least=8, at_most=65536))
    heads: int = setting("Attention heads of a layer", bounds=Bounds(at_least=1))
    intermediate: int | None = setting(
        "Width of the feed-forward layers; null: 4 × hidden",
        default=None,
        bounds=Bounds(at_least=1),
    )
    max_positions: int = setting(
        "The longest sample that it can read", default=512, bounds=Bounds(at_least=8)
    )
    segments: int = setting(
        "Kinds of token type; with 1, both texts of a pair have the same",
        default=2,
        bounds=Bounds(at_least=1),
    )
    dropout: float = setting("Of embeddings and of what layers add", default=0.1, bounds=_SHARE)
    attention_dropout: float = setting(
        "Of attention probabilities; on GPUs more than 0 needs flash-attn",
        default=0.1,
        bounds=_SHARE,
    )
    activation: Activation = setting("Of the feed-forward layers", default=Activation.GELU)
    layer_norm_eps: float = setting(
        "Added to variances", default=1e-12, bounds=Bounds(above=0, at_most=0.1)
    )
    initializer_range: float = setting(
        "Standard deviation of new weights", default=0.02, bounds=Bounds(above=0, at_most=1)
    )

    def findings(self) -> Iterator[Finding]:
        if self.hidden % self.heads:
            below = self.hidden - self.hidden % self.heads
            fitting = [size for size in (below, below + self.heads) if size]
            yield Finding(
                key="hidden",
                found=f"={self.hidden}",
                rule=f"is not a multiple of heads={self.heads}.",
                try_=f"hidden={' or '.join(map(str, fitting))}.",
            )

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads

    @property
    def feed_forward(self) -> int:
        return self.intermediate or 4 * self.hidden
