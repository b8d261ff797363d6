from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoModelForNextSentencePrediction

from orchestrator.encoder.build import build_encoder, open_encoder, save_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.dropout import keyed_dropout
from orchestrator.encoder.families import WORDS_AND_PAIRS, WORDS_ONLY
from orchestrator.errors import RequestError
from orchestrator.settings.model import Model
from tests.encoder.small import (
    BERT,
    HEADS,
    NUM_WORDS,
    PAD,
    ROBERTA,
    encoder_of,
    feed_of,
    gradient_of,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_encoder(encoder_of(BERT), tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", [BERT, ROBERTA], ids=lambda model: model.family)
def test_new_weights_are_a_function_of_the_seed(model: Model) -> None:
    weights = []
    for seed in (3, 3, 4):
        torch.rand(seed + len(weights))
        weights.append(
            torch.nn.utils.parameters_to_vector(encoder_of(model, seed=seed).parameters())
        )
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
@pytest.mark.parametrize("model", [BERT, ROBERTA], ids=lambda model: model.family)
def test_what_is_saved_opens_again_and_in_transformers(model: Model, tmp_path: Path) -> None:
    encoder, feed = encoder_of(model).eval(), feed_of([30])
    save_encoder(encoder, tmp_path)
    directory = read_directory(tmp_path)
    assert (directory.model, directory.vocab_size, directory.pad_id) == (model, NUM_WORDS, PAD)
    opened = open_encoder(directory, heads=HEADS[model.family], seed=9)
    assert opened.new_parts == ()
    assert opened.encoder.settings == model
    states = opened.encoder.state_dict()
    for name, weight in encoder.state_dict().items():
        assert torch.equal(states[name], weight)

    hidden_TD = feed.hidden(encoder)
    segments = {} if model is ROBERTA else {"token_type_ids": feed.segments_T[None]}
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    logits = plain(input_ids=feed.tokens_T[None], **segments).logits[0]
    found = encoder.vocabulary_logits(hidden_TD, torch.arange(30))
    torch.testing.assert_close(found, logits, rtol=0, atol=1e-5)
    if model is BERT:
        pairs = AutoModelForNextSentencePrediction.from_pretrained(tmp_path).eval()
        logits = pairs(input_ids=feed.tokens_T[None], **segments).logits
        found = encoder.pair_logits(hidden_TD, feed.firsts_S)
        torch.testing.assert_close(found, logits, rtol=0, atol=1e-5)


def test_the_name_of_our_attention_stays_with_us(folder: Path) -> None:
    assert "packed" not in (folder / "config.json").read_text()


@pytest.mark.parametrize("heads", [WORDS_ONLY, WORDS_AND_PAIRS], ids=["words", "words and pairs"])
def test_a_body_without_heads_gets_new_ones(heads: frozenset[str], tmp_path: Path) -> None:
    encoder = encoder_of(BERT)
    encoder.model.base_model.save_pretrained(tmp_path)
    opened = open_encoder(read_directory(tmp_path), heads=heads, seed=5)
    assert opened.new_parts
    assert all(name.startswith("cls.") for name in opened.new_parts)
    states, found = encoder.state_dict(), opened.encoder.state_dict()
    bodies = [name for name in found if ".bert." in name]
    assert len(bodies) > 30
    for name in bodies:
        assert torch.equal(found[name], states[name])
    again = open_encoder(read_directory(tmp_path), heads=heads, seed=5).encoder.state_dict()
    assert all(torch.equal(again[name], found[name]) for name in found)


def test_a_directory_can_be_opened_with_other_dropout(folder: Path) -> None:
    directory = read_directory(folder)
    model = replace(directory.model, dropout=0.0, attention_dropout=0.0)
    encoder = open_encoder(directory, heads=WORDS_ONLY, seed=0, model=model).encoder
    feed = feed_of([20])
    assert encoder.training
    assert torch.equal(feed.hidden(encoder), feed.hidden(encoder))


def test_a_part_of_the_body_that_is_missing_is_an_error(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    said = r"its weights lack 1 of those .*, such as bert\.encoder\.layer\.1\.output\.dense\.weight"
    with pytest.raises(RequestError, match=said):
        open_encoder(read_directory(folder), heads=WORDS_ONLY, seed=0)


def test_weights_of_another_shape_than_the_config_says_are_an_error(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 97}))
    said = r"word_embeddings\.weight is \(96, 16\) in its weights and \(97, 16\) by its config"
    with pytest.raises(RequestError, match=said):
        open_encoder(read_directory(folder), heads=WORDS_ONLY, seed=0)


def test_torn_weights_are_an_error(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RequestError, match="its weights cannot be read"):
        open_encoder(read_directory(folder), heads=WORDS_ONLY, seed=0)


def test_a_family_without_the_heads_asked_for_says_so() -> None:
    with pytest.raises(RequestError, match="roberta has no encoder with the heads pair"):
        build_encoder(ROBERTA, vocab_size=64, pad_id=1, heads=WORDS_AND_PAIRS, seed=0)


@pytest.mark.long
@pytest.mark.filterwarnings("default")  # PyTorch's compiler warns of its own code
@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_compiled_layers_compute_the_same_and_keep_to_keyed_dropout(is_checkpointed: bool) -> None:
    feed, other, results = feed_of([9, 20]), feed_of([30, 4, 7]), []
    for is_compiled in (False, True):
        encoder = encoder_of(BERT)
        if is_checkpointed:
            encoder.checkpoint_activations()
        if is_compiled:
            encoder.compile_layers()
        encoder.eval()
        results.append(feed.hidden(encoder))
        encoder.train()
        gradients = []
        for number, pack in ((7, feed), (8, other), (7, feed)):
            encoder.zero_grad()
            with keyed_dropout(0, 1, number):
                loss = encoder.vocabulary_loss(pack.hidden(encoder), pack.chosen_P, pack.targets_P)
            loss.backward()
            gradients.append(gradient_of(encoder))
        assert torch.equal(gradients[0], gradients[2])
    torch.testing.assert_close(*results, rtol=0, atol=1e-5)
