"""A checkpoint of a run → a directory of Hugging Face's in a storage: weights, tokenizer, card.

`cluster/export.py` runs it as a task, for what is exported and for what another run starts from.
The file with the lineage comes last: a directory without it is not whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from orchestrator.corpus import layout as corpus_layout
from orchestrator.corpus.layout import corpus_uri
from orchestrator.corpus.shards.verify import copy_tokenizer
from orchestrator.corpus.tokens.folder import CONFIG
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import heads_of
from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.copying import copy_folder
from orchestrator.runs.find import open_run
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.origin import read_whole
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.model import Model
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.card import CARD, Made, card_of, lineage_of
from orchestrator.training.weights import is_wanted, weights_of

Tell = Callable[[int], None]  # bytes of the checkpoint that were read so far


@dataclass(frozen=True, kw_only=True)
class Export:
    run: str  # URI of the run that trained
    step: int
    target: str  # URI of the folder
    is_trimmed: bool  # to the tokenizer's words; what goes on training keeps the padded rows


def is_made(target: Storage) -> bool:
    return target.exists(layout.EXPORTED)


def make_directory(export: Export, tell: Tell) -> None:
    """Whatever an attempt that died left there goes first."""
    target = open_storage(export.target)
    run = open_run(export.run)
    job = run.job()
    assert isinstance(job, PretrainJob)
    with TemporaryDirectory(prefix="orchestrator-export-") as scratch:
        folder = Path(scratch) / "directory"
        folder.mkdir()
        commit = read_whole(run, export.step, _problems(run, export.step, tell))
        tokenizer = _take_tokenizer(run, job, folder)
        source = Checkpoints(run.storage).fetch(export.step, Path(scratch) / "files", is_wanted)
        weights = weights_of(source, int(commit.facts["zero_stage"]), job.precision)
        encoder = encoder_of(job, tokenizer, weights, is_trimmed=export.is_trimmed)
        _fit_tokenizer(folder, job.model)
        save_encoder(encoder, folder)
        made = Made(run=run, job=job, commit=commit, encoder=encoder, tokenizer=tokenizer)
        lineage = lineage_of(made)
        (folder / CARD).write_text(card_of(lineage), encoding="utf-8")
        copy_directory(folder, target, lineage)


def copy_directory(folder: Path, target: Storage, lineage: Mapping[str, Any]) -> None:
    """In the place of what is there; the lineage comes last."""
    copy_folder(open_storage(folder), target)
    target.write(layout.EXPORTED, json.dumps(lineage, indent=1).encode())


def encoder_of(
    job: PretrainJob, tokenizer: CorpusTokenizer, weights: Mapping[str, Tensor], *, is_trimmed: bool
) -> Encoder:
    """With these weights. Rows beyond the tokenizer's words, which no text names, may go."""
    heads = heads_of(job.objective)

    def build(rows: int) -> Encoder:
        return build_encoder(
            job.model, vocab_size=rows, pad_id=tokenizer.pad_id, heads=heads, seed=job.seed
        )

    encoder = build(tokenizer.vocab_size)
    rows = weights[_words_of(encoder.model)].shape[0]
    if rows != tokenizer.vocab_size and not is_trimmed:
        encoder = build(rows)
    places = dict(encoder.model.named_parameters())
    if places.keys() != weights.keys():
        different = sorted(places.keys() ^ weights.keys())
        raise RequestError(f"The checkpoint is of another model: they differ in {different[0]}.")
    with torch.no_grad():
        for name, place in places.items():
            weight = weights[name]
            place.copy_(weight[: len(place)] if weight.shape[0] == rows else weight)
    return encoder


def _words_of(model: nn.Module) -> str:
    """The name of its word embeddings."""
    words = model.get_input_embeddings().weight  # type: ignore[operator]
    return next(name for name, each in model.named_parameters() if each is words)


def _problems(run: RunFolder, step: int, tell: Tell) -> list[str]:
    """From an object store files are checked while they are copied."""
    if not isinstance(run.storage, LocalStorage):
        return []
    return Checkpoints(run.storage).verify(step, lambda done, _: tell(done))


def _take_tokenizer(run: RunFolder, job: PretrainJob, folder: Path) -> CorpusTokenizer:
    corpus = open_storage(corpus_uri(run.parent.uri, job.corpus))
    if not corpus.list(corpus_layout.TOKENIZER):
        raise NotFoundError(
            f"The corpus that {run.id} was trained on is gone, and with it the tokenizer: "
            f"{corpus.uri_of(corpus_layout.TOKENIZER)} is not there.",
            hint=f"orchestrator run prepare corpus={job.corpus.name}, with the same settings, "
            "makes the same again.",
        )
    copy_tokenizer(corpus, folder)
    return open_tokenizer(folder)


def _fit_tokenizer(folder: Path, model: Model) -> None:
    """So that who opens both needs to know nothing: no text too long, no segment too many."""
    path = folder / CONFIG
    plain = json.loads(path.read_text(encoding="utf-8"))
    inputs = ["input_ids", "attention_mask"]
    if model.segments > 1:
        inputs.insert(1, "token_type_ids")
    plain |= {"model_max_length": model.max_positions, "model_input_names": inputs}
    path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
