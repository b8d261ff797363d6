"""Does pretraining pay? The same small encoder, pretrained on the factbook and with new weights.

    python benchmarks/transfer.py [--steps 600] [--seeds 5] [--json FILE]

Both are fine-tuned on tasks over several seeds; the medians and their spread on the test splits.
New weights are those of a pretraining run of one step at a rate of nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TASKS = {
    "factbook_sections": ("macro_f1", ["budget.epochs=1", "optim.lr=3e-4"]),
    "brown_genre": ("macro_f1", ["budget.epochs=1", "optim.lr=3e-4"]),
}
PRETRAIN = [
    *("corpus=factbook", "model=bert_tiny", "zero=2", "cluster.num_workers=2", "optim.lr=2e-3"),
    *("schedule=constant", "schedule.warmup=50", "batch.global_tokens=4096"),
    *("batch.pack_tokens=2048", "model.dropout=0", "model.attention_dropout=0", "tracking=off"),
    "evaluation.every_steps=null",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        storage = Path(scratch)
        command(storage, "prepare", ["corpus=factbook", "tracking=off"])
        encoders = {
            "new weights": ["budget.steps=1", "optim.lr=1e-12"],
            f"{arguments.steps} steps": [f"budget.steps={arguments.steps}"],
        }
        runs = {
            name: command(storage, "pretrain", [*PRETRAIN, *settings])
            for name, settings in encoders.items()
        }
        for task, (metric, settings) in TASKS.items():
            for name, encoder in runs.items():
                given = [f"task={task}", f"encoder={encoder.name}", f"num_seeds={arguments.seeds}"]
                given += ["cluster.cpus_per_worker=2", "tracking=off", *settings]
                run = command(storage, "finetune", given)
                spread = json.loads((run / "result.json").read_text())["spread"]["test"][metric]
                print(f"  {task}, {name}: {spread['median']:.4f}", flush=True)
                rows.append({"figure": f"{task}, {metric}, {name}", **spread})
    for row in rows:
        print(
            f"  {row['figure']:<50} median {row['median']:.4f}  "
            f"{row['least']:.4f} to {row['most']:.4f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def command(storage: Path, kind: str, overrides: list[str]) -> Path:
    words = [sys.executable, "-m", "orchestrator", "run", kind, "--json"]
    words += ["--storage", str(storage / "runs"), *overrides]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return Path(json.loads(done.stdout)["uri"])


if __name__ == "__main__":
    main()
