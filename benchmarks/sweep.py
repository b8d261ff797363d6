"""What a trial costs beside its training: a sweep's warm workers against one fine-tune a process.

python benchmarks/sweep.py [--trials 8] [--out build/sweep.json]    on a quiet machine
Both do the same fine-tunes, of a tiny encoder on generated examples, one at a time.
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

from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.runs.find import open_run
from orchestrator.settings.model import Model
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.tuning.board import read_board
from orchestrator.tuning.trials import Fate

WORDS = ("river", "hills", "coast", "islands", "coffee", "timber", "mountains", "people")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--singles", type=int, default=2, help="fine-tunes on their own")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
        folder = Path(scratch)
        words = make_ground(folder)
        sweep_s = timed(folder, "sweep", *words, f"budget.trials={asked.trials}")
        single_s = [timed(folder, "finetune", *words) for _ in range(asked.singles)]
        (run,) = (folder / "runs").glob("*-sweep-*")
        board = read_board(open_run(str(run)))
        assert board.count(Fate.FINISHED) == asked.trials
        took = [each.took_s for each in sorted(board.trials, key=lambda each: each.number)]
    found = {
        "trials": asked.trials,
        "sweep_s": sweep_s,
        "first_trial_s": took[0],
        "further_trial_s": sum(each or 0.0 for each in took[1:]) / max(1, len(took) - 1),
        "finetune_alone_s": sum(single_s) / len(single_s),
    }
    for name, value in found.items():
        print(f"{name:<20} {value:8.2f}")
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(found, indent=1))


def make_ground(folder: Path) -> list[str]:
    encoder = folder / "encoder"
    encoder.mkdir()
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "and", *WORDS]
    (encoder / "vocab.txt").write_text("\n".join(known) + "\n")
    (encoder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    tokenizer = open_task_tokenizer(encoder)
    made = build_encoder(
        Model(layers=2, hidden=64, heads=2, max_positions=64),
        vocab_size=tokenizer.vocab_size,
        pad_id=tokenizer.pad_id,
        heads=WORDS_ONLY,
        seed=3,
    )
    save_encoder(made, encoder)
    lines = [
        {"text": f"the {WORDS[n % 8]} of the {WORDS[n // 8 % 8]}", "label": "ab"[n % 8 % 2]}
        for n in range(256)
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return [
        *("task=own_classes", "task.data.kind=jsonl", f"encoder={encoder}", "tracking=off"),
        *(f"task.data.splits.train.path=[{folder}/train.jsonl]", "task.max_tokens=16"),
    ]


def timed(folder: Path, kind: str, *words: str) -> float:
    project = folder / "project"
    project.mkdir(exist_ok=True)
    (project / "mine.py").write_text("print('mine')\n")
    more = ["search.max_concurrent=1"] if kind == "sweep" else []
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", kind, *words, *more],
        cwd=project,
        env=os.environ | {"ORCHESTRATOR_STORAGE": str(folder / "runs"), "WANDB_MODE": "disabled"},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began


if __name__ == "__main__":
    main()
