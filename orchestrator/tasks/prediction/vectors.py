"""Vectors of texts: what an encoder's states say of each, by its first token or by the mean of all.

A model for a task gives those that it was tuned to; any encoder's directory gives its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from orchestrator.encoder.build import open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.settings.task import Pooling
from orchestrator.tasks.features import Array, Builder
from orchestrator.tasks.heads.head import Outputs
from orchestrator.tasks.heads.sentence import CosineHead
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import TaskPack
from orchestrator.tasks.predict import run
from orchestrator.tasks.tokens import TaskTokenizer


class VectorHead(CosineHead):
    """The vectors themselves in place of their angles."""

    def forward(self, hidden_TD: Tensor, pack: TaskPack) -> Outputs:
        return (self.embed(hidden_TD, pack),)


def open_vectors(folder: Path, pooling: Pooling) -> TaskModel:
    """The heads of a directory are left out; also those of a task."""
    encoder = open_encoder(read_directory(folder), heads=WORDS_ONLY, seed=0).encoder
    return TaskModel(encoder, VectorHead(pooling)).eval()


def vectors_of(
    model: TaskModel, tokenizer: TaskTokenizer, texts: Sequence[str], *, max_tokens: int
) -> Array:
    """[texts, D] in fp32."""
    builder = Builder()
    for ids in tokenizer.ids(texts):
        sample = tokenizer.frame(ids, None, max_tokens=max_tokens)
        builder.add(sample, range(len(sample.tokens)))
        builder.end_example()
    (vectors_ED,) = run(model, builder.build())
    return vectors_ED
