"""Where an exported encoder is from: for programs (orchestrator.json), and for people (README.md).

What nobody but its owner can say, such as the licence, is left open. Called by `exporting.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.encoder.encoder import Encoder
from orchestrator.runs.checkpoints import Commit
from orchestrator.runs.folder import RunFolder
from orchestrator.settings.build import flatten, to_plain
from orchestrator.settings.kinds import differences
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.standing import Standing

SCHEMA = "orchestrator.export/1"
CARD = "README.md"
# Of the settings: what says nothing of the weights and may be nobody else's business.
_PRIVATE = ("cluster", "recovery", "notify", "code", "tracking")
# What people are told; paths of the text's files are for orchestrator.json alone.
_TOLD = ("seed", "model", "objective", "batch", "optim", "schedule", "zero", "precision", "budget")
_HEAD = """\
---
# license: name one before you share this
language: {language}
library_name: transformers
pipeline_tag: fill-mask
tags: [{family}, orchestrator]
---

# {name}

A `{kind}` of {parameters:,} parameters and {words:,} words, pretrained on the corpus `{corpus}`.

```python
from transformers import pipeline

fill = pipeline("fill-mask", model="PATH")  # the folder that this file is in
fill(f"The capital lies on the {{fill.tokenizer.mask_token}}.")
```

## Where it is from

| | |
|---|---|
"""
_TAIL = """
## Settings

Those of training that are not the defaults; all are in `orchestrator.json`.

```yaml
{settings}
```

## Licence, use and limits

Not stated yet: they follow from the text that it was trained on.
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """An encoder with the checkpoint that it is of."""

    run: RunFolder
    job: PretrainJob
    commit: Commit
    encoder: Encoder
    tokenizer: CorpusTokenizer


def lineage_of(made: Made) -> dict[str, Any]:
    run, job, commit = made.run, made.job, made.commit
    lineage = run.lineage()
    standing = Standing.from_plain(commit.facts["standing"])
    git = lineage.get("git") or {}
    return {
        "schema": SCHEMA,
        "time": round(time.time(), 3),
        "run": {"id": run.id, "uri": run.uri, "name": job.name, "attempt": commit.attempt},
        "parent": lineage.get("parent"),
        "encoder": lineage.get("encoder"),
        "git": {key: git.get(key) for key in ("commit", "is_dirty", "remote")} if git else None,
        "packages": lineage.get("packages"),
        "checkpoint": {
            "step": commit.step,
            "time": commit.time,
            "tokens": standing.tokens,
            "packs": standing.cursor.packs_total,
            "epoch": standing.cursor.epoch,
            "validation_loss": commit.validation_loss,
            "workers": commit.world,
        },
        "corpus": {
            "name": job.corpus.name,
            "fingerprint": job.corpus.fingerprint,
            "language": job.corpus.language,
            "tokenizer_fingerprint": made.tokenizer.fingerprint,
        },
        "model": {
            "family": job.model.family.value,
            "class": type(made.encoder.model).__name__,
            "parameters": sum(each.numel() for each in made.encoder.parameters()),
            "vocab_size": made.encoder.vocab_size,
            "dtype": "float32",
        },
        "changed": [key for key in differences(job) if _noun(key) in _TOLD],
        "settings": {
            key: value
            for key, value in flatten(to_plain(job)).items()
            if _noun(key) not in _PRIVATE
        },
    }


def card_of(lineage: Mapping[str, Any]) -> str:
    run, corpus, model = lineage["run"], lineage["corpus"], lineage["model"]
    head = _HEAD.format(
        language=corpus["language"],
        family=model["family"],
        kind=model["class"],
        name=run["name"] or run["id"],
        parameters=model["parameters"],
        words=model["vocab_size"],
        corpus=corpus["name"],
    )
    rows = "".join(f"| {name} | {value} |\n" for name, value in _rows(lineage).items())
    settings = "\n".join(f"{key}: {_said(lineage['settings'][key])}" for key in lineage["changed"])
    return head + rows + _TAIL.format(settings=settings or "# none")


def _rows(lineage: Mapping[str, Any]) -> dict[str, str]:
    checkpoint, corpus, git = lineage["checkpoint"], lineage["corpus"], lineage["git"]
    loss = checkpoint["validation_loss"]
    rows = {
        "run": f"`{lineage['run']['id']}`",
        "code": _commit(git),
        "corpus": f"`{corpus['name']}`, fingerprint `{corpus['fingerprint']}`",
        "tokenizer": f"fingerprint `{corpus['tokenizer_fingerprint']}`",
        "step": f"{checkpoint['step']:,}",
        "tokens": f"{checkpoint['tokens']:,}",
        "validation loss": "not taken" if loss is None else f"{loss:.4f}",
    }
    if lineage["encoder"]:
        rows["started from"] = f"`{lineage['encoder'].get('run') or lineage['encoder']['uri']}`"
    return rows


def _noun(key: str) -> str:
    return key.partition(".")[0]


def _commit(git: Mapping[str, Any] | None) -> str:
    if git is None:
        return "not in a git checkout"
    return f"commit `{git['commit']}`{', with changes' if git['is_dirty'] else ''}"


def _said(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return "null" if value is None else value
    return str(value).lower() if isinstance(value, bool) else str(value)
