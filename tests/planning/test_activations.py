"""The closed form against what autograd really keeps of a micro-batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from orchestrator.encoder.attention import layout_of
from orchestrator.encoder.build import build_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.objectives.ready import ReadyPack
from orchestrator.objectives.terms import MaskedTokens
from orchestrator.planning.activations import Kept, MicroBatch, activations_bytes
from orchestrator.settings.model import Model
from orchestrator.settings.precision import Precision
from orchestrator.training.passes import Pretraining, Weighing

WORDS = 16  # few, so that of logits there is next to nothing
MODEL = Model(layers=3, hidden=64, heads=4, intermediate=100)
TYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}


def a_pack(tokens: int, seq_len: int) -> ReadyPack:
    ids_T = torch.arange(tokens)
    chosen_P = ids_T[::7]
    nothing = torch.empty(0, dtype=torch.long)
    return ReadyPack(
        index=0,
        fed_hash=0,
        num_tokens=tokens,
        tokens_T=ids_T % WORDS,
        positions_T=ids_T % seq_len,
        segments_T=torch.zeros_like(ids_T),
        layout=layout_of(torch.arange(0, tokens + 1, seq_len).numpy()),
        chosen_P=chosen_P,
        targets_P=chosen_P % WORDS,
        firsts_N=nothing,
        labels_N=nothing,
    )


def kept_bytes(kept: Kept, pack: ReadyPack) -> int:
    """Of all storages that are saved for the backward pass, weights left out."""
    encoder = build_encoder(
        kept.model, vocab_size=kept.vocab_size, pad_id=0, heads=WORDS_ONLY, seed=0
    ).to(TYPES[kept.precision])
    encoder.train()
    module = Pretraining(encoder, (MaskedTokens(),), seed=1)
    weights = {each.untyped_storage().data_ptr() for each in module.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}

    def save(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage  # alive, so that no other gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        module([pack], Weighing(step=0, counts=(len(pack.targets_P),)))
    return sum(storage.nbytes() for storage in saved.values())


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For so little work, others only cost time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize(
    ("seq_len", "dropout", "attention_dropout"),
    [(64, 0.0, 0.0), (64, 0.1, 0.0), (64, 0.1, 0.1), (256, 0.1, 0.1)],
)
@pytest.mark.usefixtures("one_thread")
def test_what_is_kept_on_a_cpu_is_what_the_form_says(
    precision: Precision, seq_len: int, dropout: float, attention_dropout: float
) -> None:
    model = replace(MODEL, dropout=dropout, attention_dropout=attention_dropout)
    kept = Kept(model=model, vocab_size=WORDS, precision=precision, is_checkpointed=False)
    pack = a_pack(1024, seq_len)
    micro = MicroBatch(tokens=1024, predictions=len(pack.chosen_P), seq_len=seq_len, on_gpu=False)
    assert activations_bytes(kept, micro) == pytest.approx(kept_bytes(kept, pack), rel=0.04)


def test_checkpointing_keeps_what_goes_into_each_layer_and_one_layer_at_a_time() -> None:
    micro = MicroBatch(tokens=1000, predictions=0, seq_len=128, on_gpu=True)
    kept = Kept(model=MODEL, vocab_size=0, precision=Precision.BF16, is_checkpointed=False)

    def of(layers: int, *, is_checkpointed: bool) -> int:
        model = replace(MODEL, layers=layers)
        return activations_bytes(replace(kept, model=model, is_checkpointed=is_checkpointed), micro)

    layer = of(2, is_checkpointed=False) - of(1, is_checkpointed=False)
    assert of(9, is_checkpointed=True) - of(8, is_checkpointed=True) == 1000 * 2 * 64
    assert of(0, is_checkpointed=True) == of(0, is_checkpointed=False) + layer


def test_a_layer_on_a_gpu_keeps_34_bytes_a_token_and_hidden_unit_and_little_more() -> None:
    """The known figure for BERT's layers in 16 bits, without a matrix of scores."""
    kept = Kept(
        model=Model(layers=12, hidden=768, heads=12),
        vocab_size=0,
        precision=Precision.BF16,
        is_checkpointed=False,
    )
    micro = MicroBatch(tokens=1, predictions=0, seq_len=512, on_gpu=True)
    two = replace(kept, model=replace(kept.model, layers=13))
    assert activations_bytes(two, micro) - activations_bytes(kept, micro) == 34 * 768 + 4 * 12 + 16
