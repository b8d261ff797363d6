"""Directories of encoders as a plan sees them: a config, a tokenizer, weights unopened."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.encoder.families import config_values
from orchestrator.settings.model import Model

WORDS = ("the", "of", "and", "so", "river", "hills", "coast", "islands", "coffee", "people")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def an_encoder(folder: Path, *, positions: int = 64, has_tokenizer: bool = True) -> Path:
    folder.mkdir()
    known = [*SPECIAL, *WORDS]
    model = Model(layers=1, hidden=8, heads=1, max_positions=positions)
    config = config_values(model, vocab_size=len(known), pad_id=0)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    (folder / "model.safetensors").touch()
    if has_tokenizer:
        (folder / "vocab.txt").write_text("\n".join(known) + "\n")
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    return folder
