"""The folder of a tokenizer: the two files from which `transformers.AutoTokenizer` opens it.

`train.py` and `take.py` write it, `tokenizer.py` reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Pipeline

from orchestrator.errors import NotFoundError, RequestError

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
_ROLES = tuple(f"{role}_token" for role in ("unk", "pad", "cls", "sep", "mask", "bos", "eos"))


@dataclass(frozen=True, kw_only=True)
class Described:
    """A pipeline from text to ids, and what the special tokens in it are for."""

    pipeline: Pipeline
    roles: dict[str, str]  # mask_token → [MASK], as transformers names them


def write_folder(described: Described, folder: Path, **config: Any) -> None:
    plain = {
        # The one class that takes the pipeline as it is; BertTokenizer and others make their own.
        "tokenizer_class": "PreTrainedTokenizerFast",
        **config,
        **described.roles,
    }
    folder.mkdir(parents=True, exist_ok=True)
    described.pipeline.save(str(folder / TOKENIZER))
    (folder / CONFIG).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def read_folder(folder: Path) -> Described:
    file = folder / TOKENIZER
    if not file.is_file():
        raise NotFoundError(f"{folder} holds no {TOKENIZER}.")
    plain = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    return Described(pipeline=read_pipeline(file), roles=known_roles(plain))


def read_pipeline(file: Path) -> Pipeline:
    try:
        return Pipeline.from_file(str(file))
    except Exception as err:  # the library raises nothing narrower
        raise RequestError(f"{file} is not a tokenizer: {err}.") from err


def known_roles(names: dict[str, Any]) -> dict[str, str]:
    return {role: str(names[role]) for role in _ROLES if names.get(role)}
