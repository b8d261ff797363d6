"""Adapters change nothing until they are trained, and nothing when they are merged."""

from __future__ import annotations

import pytest
import torch

from orchestrator.encoder.adapters import add_adapters, merge_adapters
from orchestrator.encoder.encoder import Encoder
from orchestrator.settings.model import Model
from tests.encoder.small import BERT, ROBERTA, encoder_of, feed_of

pytestmark = pytest.mark.slow

FEED = feed_of([5, 9, 3])


def adapted(model: Model, *, seed: int = 5, dropout: float = 0.0) -> Encoder:
    encoder = encoder_of(model)
    add_adapters(encoder, rank=2, alpha=4.0, dropout=dropout, seed=seed)
    return encoder


@pytest.mark.parametrize("model", [BERT, ROBERTA], ids=lambda model: model.family)
def test_adapters_begin_as_nothing_and_end_in_the_weights(model: Model) -> None:
    plain = encoder_of(model).eval()
    encoder = adapted(model).eval()
    before = FEED.hidden(plain)
    assert torch.equal(FEED.hidden(encoder), before)
    trained = [each for each in encoder.parameters() if each.requires_grad]
    # Query and value of each layer, from 16 to 2 and back to 16.
    assert sum(each.numel() for each in trained) == model.layers * 2 * 2 * 2 * 16
    FEED.hidden(encoder).square().sum().backward()
    assert all((each.grad is not None) == each.requires_grad for each in encoder.parameters())
    for each in trained:
        torch.nn.init.normal_(each, std=0.3)
    unmerged = FEED.hidden(encoder)
    assert (unmerged - before).abs().max() > 0.1
    merge_adapters(encoder)
    assert (FEED.hidden(encoder) - unmerged).abs().max() <= 1e-6 * unmerged.abs().max()
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    assert type(encoder.model) is type(plain.model)
    assert all(each.requires_grad for each in encoder.parameters())
    changed = {
        name
        for name, each in encoder.state_dict().items()
        if not torch.equal(each, plain.state_dict()[name])
    }
    assert len(changed) == model.layers * 2
    assert all(name.endswith(("self.query.weight", "self.value.weight")) for name in changed)


def test_new_adapters_are_a_function_of_the_seed_and_draw_from_nobody_else() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, same, other = adapted(BERT), adapted(BERT), adapted(BERT, seed=6)
    assert torch.equal(torch.rand(3), expected)
    weights = [encoder.state_dict() for encoder in (one, same, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
