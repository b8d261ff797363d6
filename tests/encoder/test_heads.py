from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.encoder.heads import decoded_loss
from tests.encoder.small import BERT, ROBERTA, difference, encoder_of, feed_of, gradient_of

MODELS = {model.family: model for model in (BERT, ROBERTA)}


def _inputs(num_predicted: int, *, num_words: int = 50, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states_PD, weight_VD, bias_V = (
        torch.randn(*shape, generator=generator).requires_grad_()
        for shape in ((num_predicted, 8), (num_words, 8), (num_words,))
    )
    targets_P = torch.randint(0, num_words, (num_predicted,), generator=generator)
    return [states_PD, weight_VD, bias_V, targets_P]


def _dense(states_PD: Tensor, weight_VD: Tensor, bias_V: Tensor, targets_P: Tensor) -> Tensor:
    return cross_entropy(linear(states_PD, weight_VD, bias_V), targets_P, reduction="sum")


@given(num_predicted=st.integers(0, 700), scale=st.floats(0.001, 10), seed=st.integers(0, 99))
def test_loss_and_gradients_are_those_of_all_logits_at_once(
    num_predicted: int, scale: float, seed: int
) -> None:
    results = []
    for loss_of in (decoded_loss, _dense):
        inputs = _inputs(num_predicted, seed=seed)
        loss = loss_of(*inputs)
        (loss * scale).backward()
        results.append([loss.detach(), *(each.grad for each in inputs[:3])])
    for found, expected in zip(*results, strict=True):
        assert (found - expected).norm() <= 1e-6 * expected.norm()


class Watched(TorchDispatchMode):
    """What PyTorch is asked to do, and the size of the largest tensor that came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.asked.add(func.__name__)
        if isinstance(made, Tensor):
            self.largest = max(self.largest, made.numel())
        return made


def test_logits_never_exist_all_at_once() -> None:
    inputs = _inputs(1000, num_words=2000)
    with Watched() as watched:
        decoded_loss(*inputs).backward()
    assert 0 < watched.largest <= 256 * 2000


def test_where_no_gradients_are_wanted_none_are_made() -> None:
    inputs = _inputs(300)
    with torch.no_grad(), Watched() as watched:
        loss = decoded_loss(*inputs)
    assert "addmm.default" in watched.asked
    assert not {name for name in watched.asked if name.startswith("mm.")}
    torch.testing.assert_close(loss, _dense(*inputs).detach())


@pytest.mark.parametrize("is_autocast", [False, True])
def test_in_bf16_losses_add_up_in_fp32(is_autocast: bool) -> None:
    inputs = _inputs(600)
    expected = _dense(*inputs)
    expected.backward()
    gradient = inputs[1].grad
    assert gradient is not None
    if is_autocast:
        low = _inputs(600)
    else:
        low = [each.detach().bfloat16().requires_grad_() for each in inputs[:3]] + inputs[3:]
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        loss = decoded_loss(*low)
    loss.backward()
    assert loss.dtype == torch.float32
    assert low[1].grad is not None
    assert low[1].grad.dtype == low[1].dtype
    assert abs(loss.item() / expected.item() - 1) < 2e-3
    assert difference(low[1].grad.float(), gradient) < 0.01


@pytest.mark.parametrize("family", MODELS)
def test_an_encoders_loss_is_that_of_transformers_whole_head(family: str) -> None:
    encoder = encoder_of(replace(MODELS[family], dropout=0.0, attention_dropout=0.0))
    feed = feed_of([40, 9, 64])
    results = []
    for is_sparse in (True, False):
        encoder.zero_grad()
        hidden_TD = feed.hidden(encoder)
        if is_sparse:
            loss = encoder.vocabulary_loss(hidden_TD, feed.chosen_P, feed.targets_P)
        else:
            logits_TV = encoder.model.get_submodule(
                "cls.predictions" if family == "bert" else "lm_head"
            )(hidden_TD)
            loss = cross_entropy(logits_TV[feed.chosen_P], feed.targets_P, reduction="sum")
        loss.backward()
        results.append((loss.detach()[None], gradient_of(encoder)))
    for found, expected in zip(*results, strict=True):
        assert difference(found, expected) <= 1e-6


def test_pairs_are_judged_by_their_first_tokens() -> None:
    encoder, feed = encoder_of(BERT).eval(), feed_of([5, 12, 3])
    plain = encoder.model
    labels_S = torch.tensor([0, 1, 1])
    hidden_TD = feed.hidden(encoder)
    logits_S2 = encoder.pair_logits(hidden_TD, feed.firsts_S)
    alone_S2 = torch.cat(
        [
            plain.cls(sample.hidden(encoder), plain.bert.pooler(sample.hidden(encoder)[None]))[1]
            for sample in feed.samples()
        ]
    )
    torch.testing.assert_close(logits_S2, alone_S2, rtol=0, atol=1e-5)
    loss = encoder.pair_loss(hidden_TD, feed.firsts_S, labels_S)
    torch.testing.assert_close(loss, cross_entropy(alone_S2, labels_S, reduction="sum"))
