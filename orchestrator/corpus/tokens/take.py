"""A tokenizer that exists, from a folder, an object store or the hub, into a corpus's own folder.

Whatever it was stored as, `transformers` opens it once here and tells what its special tokens are
for; only a folder that was written here tells that itself, and spares seconds of import. Its
tokenizer.json is taken as it is, where there is one. Called by `prepare`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.corpus.tokens.folder import (
    CONFIG,
    TOKENIZER,
    Described,
    known_roles,
    read_folder,
    read_pipeline,
    write_folder,
)
from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs.storage import open_storage

_WORDS = (TOKENIZER, "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_FILES = (
    *_WORDS,
    *(CONFIG, "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("config.json", "tokenizer.model", "spm.model"),
)
_KEPT = ("model_max_length", "model_input_names", "clean_up_tokenization_spaces")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def take_tokenizer(path: str, folder: Path) -> None:
    """`path` is a folder's path or URI, or a name on the hub."""
    with TemporaryDirectory() as here:
        given = Path(here)
        if "://" in path or Path(path).expanduser().exists():
            _copy(path, given)
        else:
            _download(path, given)
        if (kept := _told_by_itself(given)) is not None:
            described = read_folder(given)
            described.pipeline.no_truncation()
            described.pipeline.no_padding()
            write_folder(described, folder, **kept)
            return
        opened = _open(path, given)
        pipeline = opened.backend_tokenizer
        if (given / TOKENIZER).is_file():
            framed, pipeline = pipeline, read_pipeline(given / TOKENIZER)
            pipeline.post_processor = pipeline.post_processor or framed.post_processor
    # Limits of what it was last used for: samples of a corpus have other lengths.
    pipeline.no_truncation()
    pipeline.no_padding()
    words = pipeline.get_vocab()
    roles = known_roles(opened.special_tokens_map)
    write_folder(
        Described(
            pipeline=pipeline, roles={role: roles[role] for role in roles if roles[role] in words}
        ),
        folder,
        model_max_length=opened.model_max_length,
        model_input_names=opened.model_input_names,
        clean_up_tokenization_spaces=opened.clean_up_tokenization_spaces,
    )


def _told_by_itself(given: Path) -> dict[str, Any] | None:
    """Of a folder like those that `write_folder` makes: its configuration without the roles."""
    if not ((given / TOKENIZER).is_file() and (given / CONFIG).is_file()):
        return None
    try:
        config = dict(json.loads((given / CONFIG).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None  # what is wrong with it is told by who opens it
    is_ours = config.get("tokenizer_class") == "PreTrainedTokenizerFast"
    kept = {key: config[key] for key in _KEPT if key in config}
    roles = known_roles(config)
    is_plain = config.keys() == {"tokenizer_class", *kept, *roles}
    return kept if is_ours and is_plain and len(kept) == len(_KEPT) else None


def _copy(path: str, given: Path) -> None:
    storage = open_storage(path)
    if storage.is_local and Path(path).expanduser().is_file():
        raise RequestError(
            f"corpus.tokenizer.path={path} is a file.", hint="Give the folder that it is in."
        )
    names = [entry.name for entry in storage.list() if not entry.is_dir]
    if not set(names).intersection(_WORDS):
        there = ", ".join(names[:12]) or "no file"
        raise RequestError(
            f"corpus.tokenizer.path={path} holds no tokenizer, only {there}.",
            hint="A tokenizer is tokenizer.json, vocab.txt, or vocab.json with merges.txt.",
        )
    for name in set(names).intersection(_FILES):
        (given / name).write_bytes(storage.read(name))


def _download(name: str, given: Path) -> None:
    if not _HUB_NAME.fullmatch(name):
        raise NotFoundError(
            f"corpus.tokenizer.path={name}: there is no such folder, and no name on the hub looks "
            "like that.",
            hint="Give a folder with a tokenizer.json, or a name like google-bert/bert-base-cased.",
        )
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(name, allow_patterns=list(_FILES), local_dir=given)
    except (OSError, ValueError) as err:  # all that the hub's client raises is one of these
        reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")
        raise StorageError(
            f"corpus.tokenizer.path={name} is no folder here, and the hub gives none: {reason}.",
            hint="Check the name and the network; where there is none, download the tokenizer "
            "elsewhere and give its folder.",
        ) from err


def _open(path: str, given: Path) -> Any:
    from transformers import AutoTokenizer

    there = ", ".join(sorted(file.name for file in given.iterdir() if file.is_file()))
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(given), **_hints(given))
    except Exception as err:  # of all kinds, by what is in the files
        reason = (str(err).splitlines() or [type(err).__name__])[0].rstrip(" .:")
        raise RequestError(
            f"corpus.tokenizer.path={path} cannot be opened by transformers.AutoTokenizer: "
            f"{reason}. It holds {there}.",
            hint="Open it once where it works and save it with save_pretrained, which writes a "
            "tokenizer.json.",
        ) from err
    if not tokenizer.is_fast:
        raise RequestError(
            f"corpus.tokenizer.path={path} is a {type(tokenizer).__name__}, which is written in "
            "Python and has no tokenizer.json: too slow for a corpus.",
            hint="Choose one with a fast tokenizer.",
        )
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise RequestError(
            f"corpus.tokenizer.path={path} gives a {type(tokenizer).__name__} without words: that "
            f"class reads none of {there}.",
            hint="Name the class that does as tokenizer_class in its tokenizer_config.json.",
        )
    return tokenizer


def _hints(given: Path) -> dict[str, Any]:
    """For words alone: what otherwise a configuration tells."""
    known = {file.name for file in given.iterdir()}
    if TOKENIZER in known:
        return {}
    hints: dict[str, Any] = {}
    is_roberta = False
    config = json.loads((given / CONFIG).read_text(encoding="utf-8")) if CONFIG in known else {}
    if "vocab.txt" in known and "do_lower_case" not in config:
        words = (given / "vocab.txt").read_text(encoding="utf-8").split("\n")
        is_cased = any(word != word.lower() for word in words if not word.startswith("["))
        hints["do_lower_case"] = not is_cased
    elif "vocab.json" in known:
        is_roberta = "<mask>" in json.loads((given / "vocab.json").read_text(encoding="utf-8"))
    if not known.intersection((CONFIG, "config.json")):
        kind = "bert" if "vocab.txt" in known else "roberta" if is_roberta else "gpt2"
        hints["tokenizer_type"] = kind
    return hints
