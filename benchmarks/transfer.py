"""Does pretraining pay? The same small encoder, pretrained on the factbook and with new weights.

    python benchmarks/transfer.py [sections genre] [--steps 2400] [--seeds 5] [--json FILE]

Both are fine-tuned on a task over several seeds; the medians and their spread on the test splits.
New weights are those of a pretraining run of one step at a rate of nothing.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from rig.bench import WORKERS, Bench, Overrides, Row, measure

from data.fetch import BROWN_TAGS, fetch

TASKS: dict[str, tuple[str, Overrides]] = {
    "sections": (
        "macro_f1",
        {"task": "factbook_sections", "budget.epochs": 0.1, "optim.lr": 3e-4},
    ),
    "genre": (
        "macro_f1",
        {"task": "brown_genre", "budget.epochs": 2, "optim.lr": 1e-3, "task.max_tokens": 128},
    ),
}
PRETRAINED: Overrides = {
    "corpus": "factbook",
    "model": "bert_tiny",
    "zero": 2,
    "cluster.num_workers": WORKERS,
    "optim.lr": 2e-3,
    "schedule": "linear",
    "schedule.warmup": 100,
    "batch.global_tokens": 4096,
    "batch.pack_tokens": 2048,
    "model.dropout": 0,
    "model.attention_dropout": 0,
    "evaluation.every_steps": "null",
    "tracking": "off",
}
NEW: Overrides = {
    "budget.steps": 1,
    "optim.lr": 1e-12,
    "schedule": "constant",
    "schedule.warmup": 0,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seeds", type=int, default=5)
    fetch(BROWN_TAGS)
    measure({name: partial(compared, name) for name in TASKS}, parser)


def compared(name: str, bench: Bench) -> list[Row]:
    metric, task = TASKS[name]
    trained = encoder(bench, {"budget.steps": bench.asked.steps})
    pretrained = scored(bench, task, trained)[metric]
    new = scored(bench, task, encoder(bench, NEW))[metric]
    print(f"  {pretrained['median']:.4f} and {new['median']:.4f}", flush=True)
    rows: list[Row] = [
        {"figure": f"{name}: {metric}, {whose}, {which} of {bench.asked.seeds} seeds",
         "value": spread[which], "unit": ""}
        for whose, spread in (("pretrained", pretrained), ("new weights", new))
        for which in ("median", "least", "most")
    ]  # fmt: skip
    difference = pretrained["median"] - new["median"]
    return [*rows, {"figure": f"{name}: one less the other", "value": difference, "unit": "",
                    "bound": "> 0"}]  # fmt: skip


def encoder(bench: Bench, given: Overrides) -> Path:
    """Made once for all tasks."""
    made: dict[str, Path] = bench.__dict__.setdefault("encoders", {})
    key = json.dumps(given)
    if key not in made:
        bench.prepared({"corpus": "factbook"})
        made[key] = bench.command("pretrain", PRETRAINED | given)
    return made[key]


def scored(bench: Bench, task: Overrides, encoder: Path) -> dict[str, Any]:
    given = {"encoder": encoder.name, "num_seeds": bench.asked.seeds, "tracking": "off"}
    run = bench.command("finetune", {**task, **given, "cluster.cpus_per_worker": 2})
    spread: dict[str, Any] = json.loads((run / "result.json").read_text())["spread"]["test"]
    return spread


if __name__ == "__main__":
    main()
