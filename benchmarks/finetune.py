"""Fine-tuning MiniLM: what it scores, its floor and the Trainer beside it, and how long it takes.

    python benchmarks/finetune.py [film_polarity sts_pairs …] [--json F]

`make data` first. Each task is trained by `orchestrator run finetune` on one worker with both
cores; then, where it is one of classes or scores, by the Trainer of transformers on the same
examples with the same rate, batch, warm-up and epochs. The floor is what counts of words score on
the same examples (others/floor.py), computed each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from rig.bench import ROOT, Bench, Overrides, Row, column, measure

from data.fetch import MINILM, fetch

Bounds = dict[str, float]
# What metrics of the test split must reach (the first its floor too), the epochs, and settings
# beside the defaults.
TASKS: dict[str, tuple[Bounds, float, Overrides]] = {
    "film_polarity": ({"accuracy": 0.83}, 1, {}),
    "sts_pairs": ({"spearman": 0.0}, 1, {}),
    "sts_embeddings": ({"spearman": 0.85}, 1, {"batch.examples": 16}),
    "home_intents": (
        {"intent_accuracy": 0.95, "entity_f1": 0.90},
        1,
        {"batch.examples": 16, "optim.lr": 2e-4},
    ),
}
USUAL: Overrides = {
    "cluster.cpus_per_worker": 2,
    "tracking": "off",
    "schedule.warmup": 50,
}
WITH_TRAINER = ("film_polarity", "sts_pairs")


def main() -> None:
    measure(
        {task: partial(measured, task) for task in TASKS},
        argparse.ArgumentParser(description=__doc__),
    )


def measured(task: str, bench: Bench) -> list[Row]:
    bounds, epochs, settings = TASKS[task]
    metric = next(iter(bounds))
    began = time.perf_counter()
    given = {"task": task, "encoder": fetch(MINILM), "budget.epochs": epochs}
    run = bench.command("finetune", USUAL | given | settings)
    took = time.perf_counter() - began
    scores = json.loads((run / "result.json").read_text())["metrics"]["test"]
    epoch_s = sum(column(run, "train/step_s")) / epochs
    floor = other("floor", run, bench)[metric]
    rows = [
        {"figure": f"{task}: the whole command", "value": took, "unit": "s", "bound": "<= 300"},
        {"figure": f"{task}: an epoch", "value": epoch_s, "unit": "s"},
    ]
    for name, value in scores.items():
        row = {"figure": f"{task}: {name} on the test split", "value": value, "unit": ""}
        rows.append(row | ({"bound": f">= {bounds[name]}"} if bounds.get(name) else {}))
    above = scores[metric] - floor
    rows += [
        {"figure": f"{task}: {metric} of counts of words, the floor", "value": floor, "unit": ""},
        {"figure": f"{task}: {metric} above the floor", "value": above, "unit": "", "bound": "> 0"},
    ]
    if task not in WITH_TRAINER:
        return rows
    theirs = other("trainer_task", run, bench)
    return [
        *rows,
        {"figure": f"{task}: an epoch of the Trainer", "value": theirs["epoch_s"], "unit": "s"},
        {"figure": f"{task}: its {metric}", "value": theirs["metrics"][metric], "unit": ""},
        {"figure": f"{task}: times as fast as the Trainer", "value": theirs["epoch_s"] / epoch_s,
         "unit": "×", "bound": ">= 1"},
    ]  # fmt: skip


def other(script: str, run: Path, bench: Bench) -> dict[str, Any]:
    """What a script of others/ answers about the run's task, with both cores."""
    task = json.loads((run / "result.json").read_text())["task"]
    (prepared,) = (run.parent / "tasks").glob(f"{task}-*")
    file = ROOT / "benchmarks" / "others" / f"{script}.py"
    words = [sys.executable, file, run / "job.yaml", run.parent, f"tasks/{prepared.name}"]
    found: dict[str, Any] = bench.other(words, threads=2)
    return found


if __name__ == "__main__":
    main()
