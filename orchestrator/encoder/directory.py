"""A Hugging Face directory as a start: what its config.json says, and whether that fits a job.

`plan` reads it without torch, before anything is held; `build.py` takes the weights out of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.encoder.families import model_of, pad_id_of
from orchestrator.errors import NotFoundError, RequestError
from orchestrator.settings.finding import Finding
from orchestrator.settings.model import Family, Model

WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
# What a config can say beyond our settings, and the only thing that it may say there.
_FIXED = {
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "tie_word_embeddings": True,
}


@dataclass(frozen=True, kw_only=True)
class Directory:
    path: Path
    model: Model
    vocab_size: int  # rows of its embeddings
    pad_id: int


def read_directory(path: Path) -> Directory:
    config = _read_config(path)
    kind = config.get("model_type")
    known = [family.value for family in Family]
    if kind not in known:
        raise RequestError(
            f"encoder={path} is a model of type {kind}; what can be trained here is one of: "
            f"{', '.join(known)}."
        )
    for name, rule in _FIXED.items():
        if config.get(name, rule) != rule:
            raise RequestError(
                f"encoder={path}: its config.json says {name}={json.dumps(config[name])}; "
                f"encoders here have {json.dumps(rule)}."
            )
    family = Family(kind)
    model, findings = model_of(family, config)
    vocab_size = config.get("vocab_size")
    if model is None or not isinstance(vocab_size, int):
        lines = "; ".join(map(str, findings)) or f"vocab_size={vocab_size} is no number of words."
        raise RequestError(f"encoder={path}: its config.json, in the words of model.*: {lines}")
    if not any((path / name).is_file() for name in WEIGHTS):
        raise NotFoundError(
            f"encoder={path} has a config.json but no weights: none of {', '.join(WEIGHTS)}."
        )
    return Directory(
        path=path, model=model, vocab_size=vocab_size, pad_id=pad_id_of(family, config)
    )


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((path / "config.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError) as err:
        raise NotFoundError(
            f"encoder={path} is not the directory of a model: it has no config.json.",
            hint="It must be a directory as transformers' save_pretrained writes it.",
        ) from err
    except ValueError as err:
        raise RequestError(f"encoder={path}: its config.json is not JSON ({err}).") from err
    if not isinstance(config, dict):
        raise RequestError(f"encoder={path}: its config.json is not a mapping.")
    return config


def directory_findings(
    directory: Directory, *, num_words: int, pad_id: int, seq_len: int
) -> Iterator[Finding]:
    """Of a job's tokenizer and its sample length with the model that it starts from."""
    found = f"={directory.path}"
    if directory.vocab_size < num_words:
        yield Finding(
            key="encoder",
            found=f"{found} has embeddings for {directory.vocab_size:,} words",
            rule=f"and the tokenizer has {num_words:,}.",
            try_="the corpus prepared with the tokenizer of that directory.",
        )
    if directory.pad_id != pad_id:
        yield Finding(
            key="encoder",
            found=f"{found} pads with word {directory.pad_id}",
            rule=f"and the tokenizer with word {pad_id}: it is not the one of this model.",
            try_="the corpus prepared with the tokenizer of that directory.",
        )
    if directory.model.max_positions < seq_len:
        yield Finding(
            key="encoder",
            found=f"{found} has {directory.model.max_positions} positions",
            rule=f"and samples have up to {seq_len} tokens.",
            try_=f"seq_len={directory.model.max_positions}.",
        )
