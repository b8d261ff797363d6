"""What is exported opens in transformers, and says there what it said in training."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from orchestrator.corpus.layout import TOKENIZER
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.encoder.build import build_encoder, open_encoder
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import heads_of
from orchestrator.encoder.nearby import nearby
from orchestrator.encoder.words import words_findings
from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import Storage, open_storage
from orchestrator.settings.model import Family, Model
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.exporting import Export, encoder_of, make_directory
from tests.encoder.small import feed_of
from tests.trained import BERT, ROBERTA, a_job, a_run, commit, prepare

pytestmark = pytest.mark.slow

torch.set_num_threads(1)
TEXT = "The capital lies {} km from the sea"


class Trained:
    """A run with a checkpoint of known weights."""

    def __init__(self, runs: Storage, job: PretrainJob) -> None:
        self.job = job
        self.corpus = prepare(runs, job.corpus)
        with nearby(open_storage(self.corpus).uri_of(TOKENIZER)) as folder:
            self.tokenizer: CorpusTokenizer = open_tokenizer(folder)
        self.encoder: Encoder = build_encoder(
            job.model,
            vocab_size=self.tokenizer.padded_vocab_size,
            pad_id=self.tokenizer.pad_id,
            heads=heads_of(job.objective),
            seed=7,
        ).eval()
        self.run: RunFolder = a_run(runs, job)
        commit(self.run, 400, loss=2.5, encoder=self.encoder)

    def export(self, target: Path | str, *, is_trimmed: bool = True) -> None:
        work = Export(run=self.run.uri, step=400, target=str(target), is_trimmed=is_trimmed)
        make_directory(work, lambda _: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    return Trained(open_storage(folder / "runs"), a_job(folder))


@pytest.fixture
def own(tmp_path: Path) -> Trained:
    """One that may be damaged."""
    return Trained(open_storage(tmp_path / "runs"), a_job(tmp_path))


def logits_of(encoder: Encoder, tokens: list[int]) -> torch.Tensor:
    feed = feed_of([len(tokens)])
    tokens_T = torch.tensor(tokens)
    hidden_TD = encoder(tokens_T, feed.positions_T, torch.zeros_like(tokens_T), feed.layout)
    return encoder.vocabulary_logits(hidden_TD, torch.arange(len(tokens)))


@pytest.mark.parametrize("model", [BERT, ROBERTA], ids=lambda model: model.family)
def test_transformers_gives_the_logits_that_training_had(model: Model, tmp_path: Path) -> None:
    trained = Trained(open_storage(tmp_path / "runs"), a_job(tmp_path, model))
    target = tmp_path / "exported"
    trained.export(target)
    theirs = AutoModelForMaskedLM.from_pretrained(target).eval()
    tokenizer = AutoTokenizer.from_pretrained(target)
    words = trained.tokenizer.vocab_size
    assert len(tokenizer) == theirs.config.vocab_size == words
    assert words < trained.tokenizer.padded_vocab_size, "nothing was there to be trimmed"
    assert tokenizer.model_max_length == model.max_positions
    inputs = tokenizer(TEXT.format(tokenizer.mask_token), return_tensors="pt")
    assert ("token_type_ids" in inputs) == (model.family is Family.BERT)
    with torch.no_grad():
        found = theirs(**inputs).logits[0]
        expected = logits_of(trained.encoder, inputs["input_ids"][0].tolist())[:, :words]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)

    fill = pipeline("fill-mask", model=str(target), device="cpu")
    place = int((inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero())
    best = expected[place].softmax(-1).topk(3)
    guesses = fill(TEXT.format(tokenizer.mask_token), top_k=3)
    assert [guess["token"] for guess in guesses] == best.indices.tolist()
    assert [guess["score"] for guess in guesses] == pytest.approx(best.values.tolist(), abs=1e-5)


def test_what_goes_on_training_has_every_row_and_the_same_weights(
    trained: Trained, tmp_path: Path
) -> None:
    trained.export(tmp_path / "start", is_trimmed=False)
    directory = read_directory(tmp_path / "start")
    assert directory.model == trained.job.model
    opened = open_encoder(directory, heads=heads_of(trained.job.objective), seed=1)
    assert opened.new_parts == ()
    found = opened.encoder.state_dict()
    for name, weight in trained.encoder.state_dict().items():
        assert torch.equal(found[name], weight)
    assert list(words_findings(tmp_path / "start", trained.tokenizer)) == []


def test_an_export_says_where_it_is_from(trained: Trained, tmp_path: Path) -> None:
    trained.export(tmp_path / "made")
    lineage = json.loads((tmp_path / "made" / layout.EXPORTED).read_text())
    assert lineage["run"]["id"] == trained.run.id
    assert lineage["checkpoint"]["step"] == 400
    assert lineage["checkpoint"]["tokens"] == 280_000
    assert lineage["checkpoint"]["validation_loss"] == 2.5
    assert lineage["git"] == {"commit": "0123abcd", "is_dirty": True, "remote": ""}
    assert lineage["corpus"]["fingerprint"] == trained.job.corpus.fingerprint
    assert lineage["corpus"]["tokenizer_fingerprint"] == trained.tokenizer.fingerprint
    assert lineage["settings"]["batch.seq_len"] == 48
    assert not [key for key in lineage["settings"] if key.startswith(("notify", "cluster"))]

    card = (tmp_path / "made" / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert "license" not in head and head["pipeline_tag"] == "fill-mask"
    settings = re.search(r"```yaml\n(.*?)```", card, re.DOTALL)
    assert settings is not None
    assert yaml.safe_load(settings[1])["model.hidden"] == 16
    for said in (trained.run.id, "0123abcd`, with changes", "280,000", "2.5000", "| 400 |"):
        assert said in card
    assert str(tmp_path) not in card


def test_an_export_into_a_store_is_the_same(storage: Storage, tmp_path: Path) -> None:
    trained = Trained(storage, a_job(tmp_path))
    target = trained.run.storage.uri_of(layout.EXPORT)
    trained.export(target)
    names = {entry.name for entry in open_storage(target).list()}
    assert {"config.json", "model.safetensors", "tokenizer.json", layout.EXPORTED} <= names
    with nearby(target) as folder:
        opened = open_encoder(read_directory(folder), heads=heads_of(trained.job.objective), seed=1)
        words = trained.tokenizer.vocab_size
        found = opened.encoder.model.get_input_embeddings().weight
        assert torch.equal(found, trained.encoder.model.get_input_embeddings().weight[:words])
    with nearby(target, has_weights=False) as folder:
        assert read_directory(folder).vocab_size == words


def test_what_a_killed_export_left_is_gone(trained: Trained, tmp_path: Path) -> None:
    left = tmp_path / "made" / "model-00001-of-00002.safetensors"
    left.parent.mkdir()
    left.write_bytes(b"half of another one")
    trained.export(tmp_path / "made")
    assert not left.exists()
    AutoModelForMaskedLM.from_pretrained(tmp_path / "made")


def test_a_torn_checkpoint_is_not_exported(own: Trained, tmp_path: Path) -> None:
    commit(own.run, 300)
    place = own.run.storage
    path = f"{layout.checkpoint(400)}/mp_rank_00_model_states.pt"
    data = bytearray(place.read(path))
    data[len(data) // 2] ^= 1
    place.write(path, bytes(data))
    said = "step-000400 of .* is torn .rank 0's mp_rank_00_model_states.pt has checksum"
    with pytest.raises(RequestError, match=said) as caught:
        own.export(tmp_path / "made")
    assert caught.value.hint == f"Take another: encoder={own.run.id}@300"
    assert not (tmp_path / "made").exists()


def test_without_its_corpus_there_is_no_tokenizer(own: Trained, tmp_path: Path) -> None:
    open_storage(own.corpus).remove("")
    with pytest.raises(NotFoundError, match="is gone, and with it the tokenizer") as caught:
        own.export(tmp_path / "made")
    assert "run prepare corpus=small" in str(caught.value)


def test_weights_of_another_model_are_refused(trained: Trained) -> None:
    weights = dict(trained.encoder.model.named_parameters())
    weights.popitem()
    with pytest.raises(RequestError, match="is of another model"):
        encoder_of(trained.job, trained.tokenizer, weights, is_trimmed=True)
