"""Encoders out of settings or out of a Hugging Face directory, and back into one.

Every worker builds its own, and all the same: new weights are a function of the seed. `export`
writes a directory that transformers opens by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from orchestrator.encoder.attention import PACKED
from orchestrator.encoder.directory import Directory
from orchestrator.encoder.encoder import Encoder
from orchestrator.encoder.families import BLUEPRINTS, Heads, config_values
from orchestrator.errors import RequestError
from orchestrator.settings.model import Model


def build_encoder(
    model: Model, *, vocab_size: int, pad_id: int, heads: Heads, seed: int
) -> Encoder:
    """With new weights in fp32. The vocabulary's size is a tokenizer's padded one."""
    kind = _class_of(model, heads)
    config = _config_of(model, vocab_size=vocab_size, pad_id=pad_id)
    with _new_weights(seed):
        built = kind(config)
    return Encoder(built, model, pad_id=pad_id, heads=heads)


@dataclass(frozen=True, kw_only=True)
class Opened:
    encoder: Encoder
    new_parts: tuple[str, ...]  # names of weights that the directory lacks: parts of heads


def open_encoder(
    directory: Directory, *, heads: Heads, seed: int, model: Model | None = None
) -> Opened:
    """In fp32, with the directory's vocabulary. `model`: its settings with other dropout."""
    model = model or directory.model
    kind = _class_of(model, heads)
    config = _config_of(model, vocab_size=directory.vocab_size, pad_id=directory.pad_id)
    try:
        with _new_weights(seed), _quiet():
            loaded, report = cast(Any, kind).from_pretrained(
                directory.path,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, in our words
            )
    except (OSError, RuntimeError, SafetensorError, UnpicklingError, ValueError) as err:
        raise RequestError(
            f"encoder={directory.path}: its weights cannot be read ({err}).",
            hint="They may have been copied in part: compare their sizes with the original's.",
        ) from err
    _check_weights(directory, loaded, report)
    encoder = Encoder(loaded, model, pad_id=directory.pad_id, heads=heads)
    return Opened(encoder=encoder, new_parts=tuple(sorted(report["missing_keys"])))


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """config.json and model.safetensors. The tokenizer's files are not the encoder's to write."""
    with _quiet():
        encoder.model.save_pretrained(folder)


def _class_of(model: Model, heads: Heads) -> type[PreTrainedModel]:
    classes = BLUEPRINTS[model.family].classes
    if heads not in classes:
        raise RequestError(
            f"model.family={model.family.value} has no encoder with the heads "
            f"{' + '.join(sorted(heads))}; it has: "
            f"{', '.join(' + '.join(sorted(known)) for known in classes)}.",
            hint="The objectives nsp and sop need a head for pairs; mlm alone does not.",
        )
    return cast(type[PreTrainedModel], getattr(transformers, classes[heads]))


def _config_of(model: Model, *, vocab_size: int, pad_id: int) -> PreTrainedConfig:
    kind = getattr(transformers, BLUEPRINTS[model.family].config)
    values = config_values(model, vocab_size=vocab_size, pad_id=pad_id)
    return cast(PreTrainedConfig, kind(**values, attn_implementation=PACKED))


def _check_weights(directory: Directory, loaded: PreTrainedModel, report: Any) -> None:
    """A head may be new. A body that is new in part would train, and nobody would know."""
    prefix = f"{loaded.base_model_prefix}."
    pooler = f"{prefix}pooler."
    missing = sorted(
        name
        for name in report["missing_keys"]
        if name.startswith(prefix) and not name.startswith(pooler)
    )
    if missing:
        raise RequestError(
            f"encoder={directory.path}: its weights lack {len(missing)} of those that its "
            f"config.json asks for, such as {missing[0]}."
        )
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        name, found, expected = mismatched[0]
        raise RequestError(
            f"encoder={directory.path}: {name} is {tuple(found)} in its weights and "
            f"{tuple(expected)} by its config.json ({len(mismatched)} in all)."
        )


@contextmanager
def _new_weights(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tables and bars of transformers: what matters of them is reported by us."""
    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
