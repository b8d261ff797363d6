"""What pretraining predicts: masked tokens, and whether two texts belong together.

`objectives/` makes it into terms of a loss; the corpus's packs are cut for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding

_SHARE = Bounds(at_least=0, at_most=1)


class MaskUnit(StrEnum):
    TOKEN = "token"
    WORD = "word"
    NGRAM = "ngram"


class Pairs(StrEnum):
    NONE = "none"
    NSP = "nsp"  # does the second text follow the first?
    SOP = "sop"  # are the two in their order?


@dataclass(frozen=True, kw_only=True)
class Objective:
    mask_rate: float = setting(
        "Share of the tokens that are predicted",
        default=0.15,
        bounds=Bounds(above=0, at_most=0.9),
    )
    mask_unit: MaskUnit = setting(
        "What is chosen as a whole: token, word, or ngram of up to three words",
        default=MaskUnit.TOKEN,
    )
    mask_share: float = setting(
        "Of the predicted ones, those that the model sees as [MASK]", default=0.8, bounds=_SHARE
    )
    random_share: float = setting(
        "Of the predicted ones, those that it sees as another word; the rest stay as they are",
        default=0.1,
        bounds=_SHARE,
    )
    pairs: Pairs = setting(
        "none; nsp: samples are two texts, half of them with another document's second one; "
        "sop: half of them with the two turned round",
        default=Pairs.NONE,
    )
    pair_weight: float = setting(
        "Of the loss of pairs, beside 1 for masked tokens", default=1.0, bounds=Bounds(above=0)
    )
    short_share: float = setting(
        "Share of the samples that are shorter on purpose", default=0.1, bounds=_SHARE
    )

    def findings(self) -> Iterator[Finding]:
        if self.mask_share + self.random_share > 1:
            yield Finding(
                key="random_share",
                found=f"={self.random_share:g}",
                rule=f"and objective.mask_share={self.mask_share:g} are more than all.",
                try_=f"objective.random_share={1 - self.mask_share:g}.",
            )
