"""How a text's vector is made of its tokens' states, in the files that sentence-transformers reads.

A directory with modules.json is opened by it as one of its own. Called by `directory.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.settings.model import Model
from orchestrator.settings.task import Pooling, Task

_POOLING = "1_Pooling"
_MODULES = (("", "Transformer"), (_POOLING, "Pooling"))


def write_pooling(folder: Path, task: Task, model: Model) -> None:
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, (path, kind) in enumerate(_MODULES)
    ]
    pooling = {
        "word_embedding_dimension": model.hidden,
        "pooling_mode_cls_token": task.pooling is Pooling.CLS,
        "pooling_mode_mean_tokens": task.pooling is Pooling.MEAN,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    (folder / _POOLING).mkdir(exist_ok=True)
    _write(folder / "modules.json", modules)
    _write(folder / _POOLING / "config.json", pooling)
    _write(
        folder / "sentence_bert_config.json",
        {"max_seq_length": task.max_tokens, "do_lower_case": False},
    )
    _write(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine"})


def _write(path: Path, plain: Any) -> None:
    path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
