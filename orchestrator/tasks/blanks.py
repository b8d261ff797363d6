"""Words for the blanks of a text: what a pretrained encoder's vocabulary head finds likely there.

`ask` calls it for directories that are no task model's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tokenizers import Tokenizer as Pipeline

from orchestrator.corpus.tokens.folder import read_folder
from orchestrator.corpus.tokens.marks import is_byte_level
from orchestrator.corpus.tokens.take import take_tokenizer
from orchestrator.encoder.attention import layout_of
from orchestrator.encoder.build import open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import BLUEPRINTS, WORDS_ONLY
from orchestrator.errors import RequestError
from orchestrator.tasks.answer import Answer, Ranking, ranked

_BLANK = re.compile(r"\s*(\[MASK\]|<mask>)")  # as people write it, whichever the tokenizer has


@dataclass(frozen=True, kw_only=True)
class Filler:
    """Use `open_filler`."""

    encoder: Encoder
    pipeline: Pipeline
    mask: str

    def fill(self, text: str, *, top: int) -> Answer:
        """A ranking of words for each blank; each is filled by itself."""
        ids, blanks = self._ids(text)
        positions = self.encoder.settings.max_positions
        if len(ids) > positions:
            raise RequestError(
                f"The text has {len(ids):,} tokens; the encoder reads {positions:,}.",
                hint="Give the sentence with the blank alone.",
            )
        shares_PV = self._shares(ids, blanks)
        rankings = tuple(self._best(shares_V, top) for shares_V in shares_PV)
        return Answer(
            kind="words",
            answer=[ranking[0].name for ranking in rankings],
            confidence=float(np.prod([ranking[0].share for ranking in rankings])),
            rankings=rankings,
        )

    def _ids(self, text: str) -> tuple[list[int], list[int]]:
        is_bytes = is_byte_level(json.loads(self.pipeline.to_str()))
        blank = self.mask if is_bytes else f" {self.mask}"  # bytes have the space in their words
        lead = " " if is_bytes else ""
        ids = self.pipeline.encode(lead + _BLANK.sub(lambda _: blank, text).strip()).ids
        number = self.pipeline.token_to_id(self.mask)
        places = [place for place, id_ in enumerate(ids) if id_ == number]
        if not places:
            raise RequestError(
                f"The text has no blank: an encoder without a task says which word stands at "
                f"{self.mask}.",
                hint=f'orchestrator ask … "The capital lies on the {self.mask}."',
            )
        return ids, places

    @torch.inference_mode()
    def _shares(self, ids: list[int], blanks: list[int]) -> np.ndarray:
        tokens_T = torch.tensor(ids)
        hidden_TD = self.encoder(
            tokens_T,
            torch.arange(len(ids)),
            torch.zeros_like(tokens_T),
            layout_of(np.asarray([0, len(ids)])),
        )
        logits_PV = self.encoder.vocabulary_logits(hidden_TD, torch.tensor(blanks))
        words = self.pipeline.get_vocab_size()  # a model may have more rows than there are words
        return logits_PV[:, :words].softmax(dim=1).numpy()

    def _best(self, shares_V: np.ndarray, top: int) -> Ranking:
        best = np.argsort(-shares_V, kind="stable")[:top].tolist()
        return ranked([self._word(number) for number in best], shares_V[best])

    def _word(self, number: int) -> str:
        """As it would be written; a piece that goes on with a word keeps its sign."""
        name = self.pipeline.id_to_token(number) or ""
        if name.startswith("##"):
            return name
        return self.pipeline.decode([number], skip_special_tokens=False).strip() or name


def open_filler(folder: Path) -> Filler:
    directory = read_directory(folder)
    with TemporaryDirectory() as own:
        take_tokenizer(str(folder), Path(own))
        described = read_folder(Path(own))
    mask = described.roles.get("mask_token")
    opened = open_encoder(directory, heads=WORDS_ONLY, seed=0)
    head = BLUEPRINTS[opened.encoder.settings.family].vocabulary_head
    if mask is None or any(name.startswith(f"{head}.") for name in opened.new_parts):
        missing = "its tokenizer has no mask" if mask is None else "it has no vocabulary head"
        raise RequestError(
            f"{folder} is an encoder without a task, and {missing}: there is nothing to ask it.",
            hint="Fine-tune it: orchestrator run finetune encoder=… task=…",
        )
    return Filler(encoder=opened.encoder.eval(), pipeline=described.pipeline, mask=mask)
