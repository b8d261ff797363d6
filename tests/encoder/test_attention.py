from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForMaskedLM

from orchestrator.encoder.attention import layout_of
from orchestrator.settings.model import Model
from tests.encoder.small import (
    BERT,
    NUM_WORDS,
    ROBERTA,
    Feed,
    difference,
    encoder_of,
    feed_of,
    gradient_of,
)

ENCODERS = {model.family: encoder_of(model).eval() for model in (BERT, ROBERTA)}
LENGTHS = st.lists(st.integers(1, 64), min_size=1, max_size=6)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("family", ENCODERS)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
def test_a_packed_sample_gets_the_logits_that_it_gets_alone(
    family: str, lengths: list[int], seed: int
) -> None:
    """Law 5, and the same gradients."""
    encoder, feed = ENCODERS[family], feed_of(lengths, seed=seed)
    everywhere = torch.arange(sum(lengths))
    weights_TV = torch.randn(sum(lengths), NUM_WORDS, generator=torch.manual_seed(seed))

    def logits_of(part: Feed) -> torch.Tensor:
        return encoder.vocabulary_logits(part.hidden(encoder), everywhere[: len(part.tokens_T)])

    encoder.zero_grad()
    packed_TV = logits_of(feed)
    (packed_TV * weights_TV).sum().backward()
    packed_gradient = gradient_of(encoder)
    encoder.zero_grad()
    alone_TV = torch.cat([logits_of(sample) for sample in feed.samples()])
    (alone_TV * weights_TV).sum().backward()
    torch.testing.assert_close(packed_TV, alone_TV, rtol=0, atol=1e-5)
    assert difference(packed_gradient, gradient_of(encoder)) <= 1e-5


@pytest.mark.parametrize("family", ENCODERS)
def test_it_gets_the_logits_of_transformers_own_attention(family: str) -> None:
    encoder, feed = ENCODERS[family], feed_of([7, 1, 64, 30])
    kind = AutoModelForMaskedLM._model_mapping[type(encoder.model.config)]
    plain = kind(deepcopy(encoder.model.config)).eval()
    plain.load_state_dict(encoder.model.state_dict(), strict=False)
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        packed_TV = encoder.vocabulary_logits(feed.hidden(encoder), torch.arange(102))
        for sample, logits_TV in zip(
            feed.samples(), packed_TV.split(feed.layout.lengths), strict=True
        ):
            segments = sample.segments_T if encoder.settings.segments > 1 else None
            alone = plain(
                input_ids=sample.tokens_T[None],
                token_type_ids=None if segments is None else segments[None],
            )
            torch.testing.assert_close(logits_TV, alone.logits[0], rtol=0, atol=1e-5)


def test_attention_has_dropout_in_training_alone() -> None:
    model = replace(BERT, dropout=0.0, attention_dropout=0.5)
    encoder, feed = encoder_of(model), feed_of([9, 20])
    assert not torch.equal(feed.hidden(encoder), feed.hidden(encoder))
    encoder.eval()
    assert torch.equal(feed.hidden(encoder), feed.hidden(encoder))


def test_in_bf16_it_is_close_to_fp32() -> None:
    encoder, feed = encoder_of(BERT).eval(), feed_of([9, 20, 3])
    hidden_TD = feed.hidden(encoder)
    in_bf16_TD = feed.hidden(encoder.bfloat16())
    assert in_bf16_TD.dtype == torch.bfloat16
    assert difference(in_bf16_TD.float(), hidden_TD) < 0.02


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_a_packed_sample_gets_what_it_gets_alone(dtype: torch.dtype) -> None:
    model = Model(layers=2, hidden=128, heads=2, max_positions=64, attention_dropout=0.0)
    encoder, feed = encoder_of(model).eval(), feed_of([9, 64, 1, 30])
    expected_TD = torch.cat([sample.hidden(encoder) for sample in feed.samples()])
    encoder.to("cuda", dtype)
    on_gpu = replace(
        feed,
        tokens_T=feed.tokens_T.cuda(),
        positions_T=feed.positions_T.cuda(),
        segments_T=feed.segments_T.cuda(),
        layout=layout_of(np.cumsum([0, *feed.layout.lengths]), "cuda"),
    )
    found_TD = on_gpu.hidden(encoder)
    found_TD.float().square().sum().backward()
    assert difference(found_TD.float().cpu(), expected_TD) < (
        1e-4 if dtype == torch.float32 else 0.02
    )
    assert gradient_of(encoder).isfinite().all()
