from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.counts import count_flops, count_parameters, published
from orchestrator.encoder.families import WORDS_AND_PAIRS, WORDS_ONLY, Heads
from orchestrator.settings.model import Family, Model
from tests.encoder.small import BERT, NUM_WORDS, PAD, encoder_of, feed_of

SIZES = ((2, 128), (4, 256), (4, 512), (8, 512), (12, 768), (24, 1024))
BERTS = [Model(layers=layers, hidden=hidden, heads=hidden // 64) for layers, hidden in SIZES]
ROBERTAS = [
    Model(family=Family.ROBERTA, layers=layers, hidden=hidden, heads=hidden // 64, segments=1)
    for layers, hidden in SIZES[4:]
]
ODD = Model(layers=1, hidden=8, heads=2, intermediate=5, max_positions=9, segments=3)
CASES = [
    *((model, 30522, 0, WORDS_AND_PAIRS) for model in BERTS),
    *((model, 30528, 0, WORDS_ONLY) for model in BERTS[:2]),
    *((model, 50265, 1, WORDS_ONLY) for model in ROBERTAS),
    (ODD, 7, 2, WORDS_AND_PAIRS),
]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("model", "vocab_size", "pad_id", "heads"), CASES)
def test_counts_are_those_of_the_model_that_is_built(
    model: Model, vocab_size: int, pad_id: int, heads: Heads
) -> None:
    counts = count_parameters(model, vocab_size=vocab_size, pad_id=pad_id, heads=heads)
    with torch.device("meta"):
        encoder = build_encoder(model, vocab_size=vocab_size, pad_id=pad_id, heads=heads, seed=0)
    body = encoder.model.base_model
    assert counts.total == _size(encoder)
    assert counts.embeddings == _size(body.get_submodule("embeddings"))
    assert counts.layers == _size(body.get_submodule("encoder"))
    assert counts.pooler + counts.embeddings + counts.layers == _size(body)
    if counts.pair_head:
        assert counts.pair_head == _size(encoder.model.get_submodule("cls.seq_relationship"))


@pytest.mark.parametrize(
    ("model", "vocab_size", "pad_id", "heads"), [case for case in CASES if published(case[0])]
)
def test_published_figures_are_near(
    model: Model, vocab_size: int, pad_id: int, heads: Heads
) -> None:
    counts = count_parameters(model, vocab_size=vocab_size, pad_id=pad_id, heads=heads)
    figure = published(model)
    assert figure is not None
    assert counts.total == pytest.approx(figure.parameters, rel=0.012)


def test_flops_are_those_that_torch_counts() -> None:
    """With attention dropout, since torch does not count its fused attention on CPUs."""
    lengths = [40, 9, 64, 1]
    encoder, feed = encoder_of(BERT), feed_of(lengths)
    with FlopCounterMode(display=False) as counter:
        hidden_TD = feed.hidden(encoder)
        loss = encoder.vocabulary_loss(hidden_TD, feed.chosen_P, feed.targets_P)
        loss = loss + encoder.pair_loss(hidden_TD, feed.firsts_S, torch.zeros(4))
        loss.backward()
    counted = count_flops(
        BERT,
        vocab_size=NUM_WORDS,
        lengths=lengths,
        num_predicted=len(feed.chosen_P),
        num_pairs=len(lengths),
    )
    assert counter.get_total_flops() == pytest.approx(counted, rel=0.01)


def test_a_roberta_has_a_row_more_for_each_position_before_its_first() -> None:
    at = {
        pad_id: count_parameters(ROBERTAS[0], vocab_size=100, pad_id=pad_id, heads=WORDS_ONLY).total
        for pad_id in (0, PAD)
    }
    assert at[PAD] - at[0] == ROBERTAS[0].hidden
