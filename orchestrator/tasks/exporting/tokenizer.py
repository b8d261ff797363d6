"""The tokenizer's files of a task model: what transformers makes of a text is what we make of it.

Called by `directory.py`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from orchestrator.corpus.tokens.folder import CONFIG, TOKENIZER
from orchestrator.corpus.tokens.take import take_tokenizer
from orchestrator.settings.model import Model
from orchestrator.settings.task import Task


def write_tokenizer(source: Path, folder: Path, task: Task, model: Model) -> None:
    """Cut where samples of the task were cut; no segment that the model has no row for."""
    there = sorted(source.iterdir())
    stamps = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in there)
    inputs = ["input_ids", "attention_mask"]
    if model.segments > 1:
        inputs.insert(1, "token_type_ids")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _files(source, stamps, task.max_tokens, tuple(inputs)):
        (folder / name).write_bytes(data)


@lru_cache(maxsize=4)
def _files(
    source: Path, stamps: tuple[Any, ...], max_tokens: int, inputs: tuple[str, ...]
) -> tuple[tuple[str, bytes], ...]:
    """The same for all trials of a sweep; `stamps` are of what is in the source now."""
    with TemporaryDirectory(prefix="orchestrator-tokenizer-") as scratch:
        folder = Path(scratch)
        take_tokenizer(str(source), folder)
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config |= {"model_max_length": max_tokens, "model_input_names": list(inputs)}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        _begin_with_space(folder / TOKENIZER)
        return tuple((path.name, path.read_bytes()) for path in sorted(folder.iterdir()))


def _begin_with_space(path: Path) -> None:
    """Bytes know no word without the space before it; samples of tasks begin with one."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    before = plain.get("pre_tokenizer") or {}
    if before.get("type") == "ByteLevel" and not before["add_prefix_space"]:
        before["add_prefix_space"] = True
        path.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
