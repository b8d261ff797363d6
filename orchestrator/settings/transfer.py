"""What of an encoder a fine-tune trains, and what its head reads; and what keeps it from learning
its examples by heart. `training/transfer.py` does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding


class Way(StrEnum):
    FULL = "full"
    FROZEN = "frozen"
    LAST = "last"
    ADAPTERS = "adapters"


class Reading(StrEnum):
    """The states of an encoder that a head reads."""

    LAST = "last"
    SUM_OF_FOUR = "sum_of_four"
    CONCATENATION_OF_FOUR = "concatenation_of_four"

    @property
    def num_layers(self) -> int:
        return 1 if self is Reading.LAST else 4

    def width(self, hidden: int) -> int:
        return 4 * hidden if self is Reading.CONCATENATION_OF_FOUR else hidden


class ClassWeights(StrEnum):
    EQUAL = "equal"
    BALANCED = "balanced"


@dataclass(frozen=True, kw_only=True)
class Transfer:
    way: Way = setting(
        "What is trained beside the head: full: all; frozen: nothing; last: the last `layers`; "
        "adapters: low-rank ones on queries and values",
        default=Way.FULL,
    )
    reading: Reading = setting(
        "What the head reads: the last layer's states, or the last four layers' as a sum or as a "
        "concatenation",
        default=Reading.LAST,
    )
    layers: int = setting("Of way=last: how many are trained", default=4, bounds=Bounds(at_least=1))
    rank: int = setting("Of adapters", default=8, bounds=Bounds(at_least=1))
    alpha: float = setting(
        "Of adapters: they count alpha / rank", default=16.0, bounds=Bounds(above=0)
    )
    new_layers: int = setting(
        "How many of the last layers begin with new weights", default=0, bounds=Bounds(at_least=0)
    )
    layer_decay: float = setting(
        "The learning rate of a layer, as a share of that of the layer above",
        default=1.0,
        bounds=Bounds(above=0, at_most=1),
    )
    dropout: float | None = setting(
        "In the encoder and the head; null: what the encoder was trained with",
        default=None,
        bounds=Bounds(at_least=0, at_most=0.9),
    )
    label_smoothing: float = setting(
        "Share of the certainty about a class that is given to all classes, or places of an "
        "answer; not of scores",
        default=0.0,
        bounds=Bounds(at_least=0, at_most=0.9),
    )
    class_weights: ClassWeights = setting(
        "Of classification and tagging: equal; balanced: what is rare counts more, all classes "
        "alike in sum",
        default=ClassWeights.EQUAL,
    )

    def findings(self) -> Iterator[Finding]:
        if self.new_layers and self.way in (Way.FROZEN, Way.ADAPTERS):
            yield Finding(
                key="new_layers",
                found=f"={self.new_layers}",
                rule=f"would stay as they begin with transfer.way={self.way}.",
                try_="transfer.way=full.",
            )
        if self.way is Way.LAST and self.new_layers > self.layers:
            yield Finding(
                key="new_layers",
                found=f"={self.new_layers}",
                rule=f"are more than the transfer.layers={self.layers} that are trained.",
                try_=f"transfer.layers={self.new_layers}.",
            )
        if self.layer_decay < 1 and self.way in (Way.FROZEN, Way.ADAPTERS):
            yield Finding(
                key="layer_decay",
                found=f"={self.layer_decay:g}",
                rule=f"has no layer to slow down with transfer.way={self.way}.",
                try_="1.",
            )
