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
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from data.fetch import MINILM, fetch

ROOT = Path(__file__).resolve().parent.parent
Bounds = dict[str, float]
# What metrics of the test split must reach (the first its floor too), the epochs, and settings
# beside the defaults.
TASKS: dict[str, tuple[Bounds, float, list[str]]] = {
    "film_polarity": ({"accuracy": 0.83}, 2, []),
    "sts_pairs": ({"spearman": 0.85}, 4, []),
    "sts_embeddings": ({"spearman": 0.85}, 3, []),
    "home_intents": ({"intent_accuracy": 0.95, "entity_f1": 0.90}, 2, ["optim.lr=2e-4"]),
    "factbook_questions": ({"span_f1": 0.0}, 3, ["optim.lr=2e-4"]),
}
WITH_TRAINER = ("film_polarity", "sts_pairs")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=list(TASKS), choices=[*TASKS, []])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for task in arguments.tasks:
            print(f"{task} …", flush=True)
            rows += measured(task, Path(scratch))
    for row in rows:
        bound = f"(must be {row['bound']})" if "bound" in row else ""
        print(f"  {row['figure']:<62} {row['value']:>10,.4g} {row['unit']:<4} {bound}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def measured(task: str, scratch: Path) -> list[dict[str, Any]]:
    bounds, epochs, settings = TASKS[task]
    metric, storage = next(iter(bounds)), scratch / "runs"
    began = time.perf_counter()
    run = finetuned(task, storage, [f"budget.epochs={epochs}", *settings])
    took = time.perf_counter() - began
    scores = json.loads((run / "result.json").read_text())["metrics"]["test"]
    epoch_s = seconds_of_an_epoch(run, epochs)
    floor = other("floor", run, storage)[metric]
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
    theirs = other("trainer_task", run, storage)
    return [
        *rows,
        {"figure": f"{task}: an epoch of the Trainer", "value": theirs["epoch_s"], "unit": "s"},
        {"figure": f"{task}: its {metric}", "value": theirs["metrics"][metric], "unit": ""},
        {"figure": f"{task}: times as fast as the Trainer", "value": theirs["epoch_s"] / epoch_s,
         "unit": "×", "bound": ">= 1"},
    ]  # fmt: skip


def finetuned(task: str, storage: Path, settings: list[str]) -> Path:
    words = [sys.executable, "-m", "orchestrator", "run", "finetune", "--json"]
    words += ["--storage", str(storage), f"task={task}", f"encoder={fetch(MINILM)}"]
    words += ["cluster.cpus_per_worker=2", "tracking=off", "schedule.warmup=50", *settings]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return Path(json.loads(done.stdout)["uri"])


def seconds_of_an_epoch(run: Path, epochs: float) -> float:
    lines = [
        json.loads(line)
        for file in (run / "metrics").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    return float(sum(line["values"].get("train/step_s", 0.0) for line in lines) / epochs)


def other(script: str, run: Path, storage: Path) -> dict[str, Any]:
    """What a script of others/ answers about the run's task, with both cores."""
    task = json.loads((run / "result.json").read_text())["task"]
    (prepared,) = (storage / "tasks").glob(f"{task}-*")
    answer = storage.parent / f"{script}.json"
    words = [sys.executable, str(ROOT / "benchmarks" / "others" / f"{script}.py")]
    words += [str(run / "job.yaml"), str(storage), f"tasks/{prepared.name}", str(answer)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


if __name__ == "__main__":
    main()
