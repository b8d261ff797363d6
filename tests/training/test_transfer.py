"""What of an encoder begins anew, how strongly it forgets, and how fast each layer learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.model import Model
from orchestrator.settings.optim import Optim
from orchestrator.settings.precision import Precision
from orchestrator.settings.transfer import Transfer
from orchestrator.tasks.model import TaskModel
from orchestrator.tasks.packed import TaskPack, pack
from orchestrator.tasks.prepared import Portion, PreparedTask
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.training.finetune import TaskStart, make_model
from orchestrator.training.passes import Finetuning, TaskBatch, Weighing
from orchestrator.training.plain import PlainEngine
from orchestrator.training.transfer import share_by_layer
from tests.tasks.encoders import an_encoder
from tests.tasks.small import read_small

LAYERS = 4
Given = tuple[FinetuneJob, TaskStart]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """An encoder of whose weights none is as new ones are."""
    folder = tmp_path_factory.mktemp("transfer")
    directory = an_encoder(folder / "encoder")
    tokenizer = open_task_tokenizer(directory)
    settings = Model(layers=LAYERS, hidden=16, heads=2, max_positions=64, initializer_range=0.2)
    encoder = build_encoder(
        settings, vocab_size=tokenizer.vocab_size, pad_id=0, heads=WORDS_ONLY, seed=3
    )
    torch.manual_seed(4)
    with torch.no_grad():
        for weights in encoder.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    save_encoder(encoder, directory)
    read = read_small("classification", folder, tokenizer)
    portion = Portion(examples=read.examples, features=read.features)
    prepared = PreparedTask(labels=read.labels, splits={"train": portion})
    job = FinetuneJob(task=read.task, encoder=str(directory))
    return job, TaskStart(encoder=directory, prepared=prepared)


def made(given: Given, *, seed: int = 1, **transfer: Any) -> TaskModel:
    job, start = given
    return make_model(replace(job, seed=seed, transfer=Transfer(**transfer)), start)


def packed(given: Given) -> TaskPack:
    features = given[1].prepared.training.features
    return pack(features, np.arange(len(features)))


def number_of(name: str) -> int | None:
    """Of a weight's layer."""
    return int(name.split(".layer.")[1].split(".")[0]) if ".layer." in name else None


@pytest.mark.parametrize("new_layers", [0, 1, 3])
def test_new_layers_and_no_others_begin_anew(given: Given, new_layers: int) -> None:
    stored = load_file(Path(given[0].encoder) / "model.safetensors")
    weights = made(given, new_layers=new_layers).encoder.model.state_dict()
    changed = {name for name in stored if not torch.equal(weights[name], stored[name])}
    anew = range(LAYERS - new_layers, LAYERS)
    assert changed == {name for name in stored if number_of(name) in anew}
    for name in changed:
        if name.endswith("bias"):
            assert not weights[name].any()
        elif "LayerNorm" in name:
            assert (weights[name] == 1).all()
        else:
            assert float(weights[name].std()) == pytest.approx(0.2, rel=0.25)
    again = made(given, new_layers=new_layers).encoder.model.state_dict()
    other = made(given, new_layers=new_layers, seed=2).encoder.model.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in changed)
    drawn = {name for name in changed if weights[name].ndim > 1}
    assert not any(torch.equal(weights[name], other[name]) for name in drawn)


def test_dropout_is_what_is_asked_for_else_the_encoders(given: Given) -> None:
    batch = packed(given)
    for asked, expected in ((None, 0.1), (0.0, 0.0), (0.4, 0.4)):
        model = made(given, **({} if asked is None else {"dropout": asked})).train()
        settings = model.encoder.settings
        assert (settings.dropout, settings.attention_dropout) == (expected, expected)
        rates = {each.p for each in model.modules() if isinstance(each, torch.nn.Dropout)}
        assert rates == {expected}
        ((first,), (second,)) = (model(batch) for _ in range(2))
        assert torch.equal(first, second) == (expected == 0)


def test_a_lower_layer_learns_more_slowly_by_the_decay(given: Given) -> None:
    decay, rate = 0.5, 1e-3
    model = made(given, dropout=0.0)
    transfer = Transfer(layer_decay=decay)
    module = Finetuning(model, seed=1)
    engine = PlainEngine(
        module,
        Optim(weight_decay=0.0, clip_norm=None),
        precision=Precision.FP32,
        device=torch.device("cpu"),
        share=share_by_layer(model, transfer),
    )
    before = engine.weights()
    batch = TaskBatch(pack=packed(given), index=0)
    engine.accumulate(batch, Weighing(step=1, counts=(4,)), is_last=True)
    engine.step(rate)
    moved: dict[int, float] = {}  # the head is above all layers, words are below them
    for name, weights in engine.weights().items():
        place = LAYERS if "head." in name else number_of(name)
        place = -1 if place is None else place
        moved[place] = max(moved.get(place, 0.0), float((weights - before[name]).abs().max()))
    # The first step of Adam moves a weight by its rate.
    expected = {place: rate * decay ** (LAYERS - place) for place in range(-1, LAYERS + 1)}
    assert moved == pytest.approx(expected, rel=0.02)
