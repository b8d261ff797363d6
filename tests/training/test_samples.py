"""What is shown of the validation split: its first samples, and what the model says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from orchestrator.corpus.packs.stream import Cursor, Share
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.objectives.ready import make_ready
from orchestrator.objectives.terms import terms_of
from orchestrator.runs.samples import MOST
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.passes import Pretraining
from orchestrator.training.recipe import masking_of, training_stream
from orchestrator.training.samples import MaskedSamples, first_samples
from orchestrator.training.setup import make_encoder

pytestmark = pytest.mark.slow


def test_a_sample_is_shown_as_it_was_read_and_guessed_as_in_its_pack(
    prepared: tuple[PretrainJob, str],
) -> None:
    job, folder = prepared
    corpus = open_corpus(Path(folder))
    tokenizer = open_tokenizer(corpus.tokenizer)
    share = Share(packs_per_step=1, micro_packs=1, world=1, rank=0)
    (((pack,), *_), _) = training_stream(job, corpus, tokenizer).step(Cursor(), share)
    ready = make_ready(pack, masking_of(job), tokenizer.vocabulary)
    encoder = make_encoder(job, tokenizer, None).eval()
    module = Pretraining(encoder, terms_of(job.objective), seed=1)
    with torch.no_grad():
        samples = MaskedSamples(ready, tokenizer).read(module)
        _, words_PG = module([ready], None, 3)
    few = first_samples(ready)
    assert 1 <= len(samples) == min(MOST, len(few.layout.lengths))
    guesses = [guess for sample in samples for _, _, guess in sample["masked"]]
    assert len(guesses) == len(few.chosen_P) > 0
    for said, words_G in zip(guesses, words_PG, strict=False):
        holes = [number >= tokenizer.vocab_size for number in words_G.tolist()]
        known = words_G.clamp(max=tokenizer.vocab_size - 1).tolist()
        for (word, _), is_hole, piece in zip(said, holes, tokenizer.pieces(known), strict=True):
            assert word == (" (no word)" if is_hole else piece)
    begin = 0
    for sample, length in zip(samples, few.layout.lengths, strict=True):
        text = list(sample["pieces"])
        for at, target, _ in sample["masked"]:
            text[at] = target
        assert text == tokenizer.pieces(pack.tokens_T[begin : begin + length].tolist())
        begin += length
