"""Features are divided and joined without loss, and how they are packed changes no output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.settings.task import KINDS
from orchestrator.tasks.packed import pack
from orchestrator.tasks.predict import predict, run
from orchestrator.tasks.tokens import TaskTokenizer
from tests.tasks.small import Read, read_small

torch.set_num_threads(1)


@pytest.fixture(params=list(KINDS))
def read(request: pytest.FixtureRequest, tmp_path: Path, tokenizer: TaskTokenizer) -> Read:
    return read_small(request.param, tmp_path, tokenizer)


def test_taking_all_is_the_same_and_taking_twice_is_taking_once(read: Read) -> None:
    features = read.features
    everything = np.arange(len(features))
    assert features.take(everything).fingerprint == features.fingerprint
    turned = features.take(everything[::-1])
    assert turned.take(everything[::-1]).fingerprint == features.fingerprint
    assert turned.take([0]).fingerprint == features.take([len(features) - 1]).fingerprint
    assert turned.fingerprint != features.fingerprint


@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_groups_have_every_example_once_and_are_small(read: Read, max_tokens: int) -> None:
    order = np.random.default_rng(0).permutation(len(read.features))
    groups = list(read.features.groups(order, max_tokens=max_tokens))
    assert np.concatenate(groups).tolist() == order.tolist()
    sizes = read.features.tokens_E
    assert all(sizes[group].sum() <= max_tokens or len(group) == 1 for group in groups)


def test_no_sample_is_longer_than_allowed_and_places_lie_in_theirs(read: Read) -> None:
    features = read.features
    lengths = np.diff(features.offsets_S1)
    assert lengths.max() <= read.task.max_tokens
    of_sample = np.repeat(lengths, np.diff(features.place_offsets_S1))
    assert (features.places_P < of_sample).all() and (features.places_P >= 0).all()
    assert len(features) == len(read.examples)


def test_features_are_a_function_of_the_examples(read: Read, tokenizer: TaskTokenizer) -> None:
    again = read.kind.encode(read.examples, read.labels, tokenizer, read.task)
    assert again.fingerprint == read.features.fingerprint


def test_losses_and_counts_add_up_however_examples_are_packed(
    read: Read, tokenizer: TaskTokenizer
) -> None:
    model = read.model(tokenizer)
    sums, counts = [], []
    for chosen in (np.arange(len(read.features)), *np.arange(len(read.features))[:, None]):
        packed = pack(read.features, chosen)
        hidden = model.encoder(
            packed.tokens_T, packed.positions_T, packed.segments_T, packed.layout
        )
        sums.append(model.head.loss(model.head(hidden, packed), packed).item())
        counts.append(model.head.count(packed))
    assert counts[0] == sum(counts[1:]) > 0
    assert sums[0] == pytest.approx(sum(sums[1:]), rel=1e-5)


def test_predictions_do_not_depend_on_their_neighbours(
    read: Read, tokenizer: TaskTokenizer
) -> None:
    model = read.model(tokenizer)
    whole = run(model, read.features)
    for number in range(len(read.features)):
        alone = read.features.take([number])
        outputs = run(model, alone)
        one = (read.examples[number],)
        answers = predict(model, alone, one, read.labels, read.task).answers
        together = read.kind.decode(whole, read.features, read.examples, read.labels, read.task)
        if isinstance(answers[0], float):
            assert answers[0] == pytest.approx(together.answers[number], abs=1e-5)
        else:
            assert answers[0] == together.answers[number]
        assert all(np.isfinite(output).all() for output in outputs)


def test_a_run_leaves_the_model_as_it_was(read: Read, tokenizer: TaskTokenizer) -> None:
    model = read.model(tokenizer, dropout=0.5).train()
    first, second = run(model, read.features), run(model, read.features)
    assert model.training
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_a_text_that_is_cut_counts_as_truncated(tmp_path: Path, tokenizer: TaskTokenizer) -> None:
    whole = read_small("similarity", tmp_path, tokenizer, max_tokens=32).features
    cut = read_small("similarity", tmp_path, tokenizer, max_tokens=8).features
    assert whole.truncated_share == 0
    assert cut.truncated_share == pytest.approx(1 / 3)  # one of the texts of one pair
    words = read_small("tagging", tmp_path, tokenizer, max_tokens=16).features
    assert words.truncated_share == 0
    assert len(words.places_P) == 4 + 1 + 36
