from __future__ import annotations

import pytest
import torch

from orchestrator.encoder.dropout import keyed_dropout
from orchestrator.encoder.encoder import Encoder
from tests.encoder.small import BERT, Feed, encoder_of, feed_of, gradient_of

KEY = (7, 40, 1234)


def _pass(encoder: Encoder, feed: Feed, key: tuple[int, int, int] = KEY) -> torch.Tensor:
    with keyed_dropout(*key):
        return feed.hidden(encoder)


def test_the_same_pack_gets_the_same_dropout_whatever_came_before() -> None:
    encoder, feed, other = encoder_of(BERT), feed_of([9, 20]), feed_of([30])
    first = _pass(encoder, feed)
    _pass(encoder, other, (7, 40, 1235))
    torch.rand(17)
    assert torch.equal(_pass(encoder, feed), first)


@pytest.mark.parametrize("key", [(8, 40, 1234), (7, 41, 1234), (7, 40, 1235), (7, 40, -1)])
def test_dropout_differs_by_seed_by_step_and_by_pack(key: tuple[int, int, int]) -> None:
    encoder, feed = encoder_of(BERT), feed_of([9, 20])
    assert not torch.equal(_pass(encoder, feed, key), _pass(encoder, feed))


def test_other_random_numbers_go_on_as_if_nothing_had_been() -> None:
    encoder, feed = encoder_of(BERT), feed_of([9])
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    _pass(encoder, feed)
    assert torch.equal(torch.rand(3), expected)


def test_what_is_computed_again_has_the_same_dropout() -> None:
    """The backward pass comes after the context has ended, and other numbers were drawn."""
    feed, gradients, calls = feed_of([9, 20]), [], []
    for is_checkpointed in (False, True):
        encoder = encoder_of(BERT)
        encoder.get_submodule("model.bert.encoder.layer.1.intermediate").register_forward_hook(
            lambda *_, is_checkpointed=is_checkpointed: calls.append(is_checkpointed)
        )
        if is_checkpointed:
            encoder.checkpoint_activations()
        with keyed_dropout(*KEY):
            loss = encoder.vocabulary_loss(feed.hidden(encoder), feed.chosen_P, feed.targets_P)
        torch.rand(5)
        loss.backward()
        gradients.append(gradient_of(encoder))
    assert calls == [False, True, True]
    assert torch.equal(*gradients)
