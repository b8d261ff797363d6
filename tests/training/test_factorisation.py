"""Law 6: the gradient of a global batch is the same however it is divided into micro-batches."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from orchestrator.corpus.packs.mask import Masking, Vocabulary
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import heads_of
from orchestrator.objectives.ready import make_ready
from orchestrator.objectives.terms import terms_of
from orchestrator.settings.model import Model
from orchestrator.settings.objective import Objective, Pairs
from orchestrator.training.passes import Pretraining, Weighing
from tests.corpus.packs.synthetic import CLS, MASK, PAD, SEP, a_recipe, realistic

pytestmark = pytest.mark.slow

NUM_WORDS = 4096
OBJECTIVE = Objective(pairs=Pairs.NSP)
TERMS = terms_of(OBJECTIVE)
VOCABULARY = Vocabulary(size=NUM_WORDS, mask_id=MASK, special_ids=(PAD, CLS, SEP))


@lru_cache(maxsize=2)
def a_module(dropout: float) -> Pretraining:
    torch.set_num_threads(1)
    model = Model(
        **dict(layers=2, hidden=16, heads=2, max_positions=64, initializer_range=0.2),
        **dict(dropout=dropout, attention_dropout=dropout),
    )
    heads = heads_of(OBJECTIVE)
    encoder = build_encoder(model, vocab_size=NUM_WORDS, pad_id=PAD, heads=heads, seed=3)
    return Pretraining(encoder, TERMS, seed=7)


@lru_cache(maxsize=1)
def a_stream() -> Stream:
    corpus = realistic(40, mean_sentences=4)
    assert corpus.num_tokens < NUM_WORDS
    return Stream(corpus, a_recipe(seq_len=32, pack_tokens=80, pairing=Pairing.NSP))


def gradient(module: Pretraining, *, packs: int, world: int, micro_packs: int) -> Tensor:
    """What all ranks' micro-batches add up to, as one vector."""
    module.zero_grad()
    batches = []
    for rank in range(world):
        share = Share(packs_per_step=packs, micro_packs=micro_packs, world=world, rank=rank)
        micro_batches, _ = a_stream().step(Cursor(), share)
        batches += [
            [make_ready(pack, Masking(seed=5), VOCABULARY) for pack in each]
            for each in micro_batches
        ]
    counts = tuple(sum(term.count(pack) for batch in batches for pack in batch) for term in TERMS)
    for batch in batches:
        loss, _ = module(batch, Weighing(step=11, counts=counts))
        loss.backward()
    return torch.cat([each.grad.flatten() for each in module.parameters() if each.grad is not None])


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@given(packs=st.integers(1, 7), world=st.integers(1, 4), micro_packs=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_every_factorisation_has_the_same_gradient(
    dropout: float, packs: int, world: int, micro_packs: int
) -> None:
    module = a_module(dropout)
    whole = gradient(module, packs=packs, world=1, micro_packs=1)
    divided = gradient(module, packs=packs, world=world, micro_packs=micro_packs)
    assert (divided - whole).norm() <= 1e-6 * whole.norm()


def test_dropout_is_of_the_step() -> None:
    module = a_module(0.1)
    batch, _ = a_stream().step(Cursor(), Share(packs_per_step=1, micro_packs=1, world=1, rank=0))
    ready = [make_ready(pack, Masking(seed=5), VOCABULARY) for pack in batch[0]]
    losses = [module(ready, Weighing(step=step, counts=(9, 9)))[0].item() for step in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]
