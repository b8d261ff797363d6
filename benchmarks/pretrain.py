"""Pretraining: what the framework costs, and what packing gains.

    python benchmarks/pretrain.py [overhead|stall|trainer …] [--rounds 2] [--json FILE]

All in turn on two cores of this machine, or on two GPUs where there are some; BERT-mini with 30,522
words on Brown (`make data`), ZeRO 2:

    overhead   steps/s of `orchestrator run pretrain` against the same DeepSpeed loop under
               torchrun, without Ray, Hydra and tracking
    stall      what a checkpoint costs, of one a minute
    trainer    tokens/s against the Trainer of transformers with its usual recipe for masked words:
               text in blocks of 128, the same model, rate and number of tokens a step
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys

from rig.bench import ROOT, WORKERS, Bench, Overrides, Row, column, measure, metrics

MINI: Overrides = {
    "model": "bert_mini",
    "zero": 2,
    "cluster.num_workers": WORKERS,
    "batch.global_tokens": 8192,
    "batch.pack_tokens": 4096,
    "batch.seq_len": 128,
    "evaluation.every_steps": "null",
    "schedule": "constant",
    "schedule.warmup": 4,
    "optim.lr": 5e-4,
    "tracking": "off",
}
FEW = 4  # first steps, which warm up
OTHERS = ROOT / "benchmarks" / "others"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    measure({"overhead": overhead, "stall": stall, "trainer": trainer}, parser)


def settings(bench: Bench, steps: int) -> dict[str, object]:
    return MINI | bench.brown() | {"budget.steps": steps, "precision": bench.asked.precision}


def overhead(bench: Bench) -> list[Row]:
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(bench.asked.rounds):
        run = bench.command("pretrain", settings(bench, bench.asked.steps))
        ours.append(1 / statistics.median(column(run, "train/step_s")[FEW:]))
        words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", WORKERS]
        words += ["--master-port", 0, "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
        words += [OTHERS / "deepspeed_loop.py", run / "job.yaml", bench.corpus_folder("brown")]
        took = bench.other(words, threads=1)
        theirs.append(1 / statistics.median(took[FEW:]))
        print(f"  round {number + 1}: {ours[-1]:.3f} and {theirs[-1]:.3f} steps/s", flush=True)
        shutil.rmtree(run)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    middle = statistics.median
    return [
        {"figure": "orchestrator run pretrain", "value": middle(ours), "unit": "steps/s"},
        {"figure": "DeepSpeed under torchrun", "value": middle(theirs), "unit": "steps/s"},
        {"figure": "one against the other, pair by pair", "value": middle(ratios), "unit": "×",
         "bound": ">= 0.95"},
    ]  # fmt: skip


def stall(bench: Bench) -> list[Row]:
    given = settings(bench, 3 * bench.asked.steps) | {"checkpoint.every": "15s"}
    run = bench.command("pretrain", given)
    times = [
        json.loads(line)["time"]
        for file in (run / "metrics").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    commits = [
        json.loads(line)
        for file in (run / "events").glob("*.jsonl")
        for line in file.read_text().splitlines()
        if '"checkpoint_committed"' in line
    ]
    *_, last = metrics(run)
    stalled_s = last["train/checkpoint_stall"] * (times[-1] - times[0])
    kept = len(list((run / "checkpoints").iterdir()))
    size = sum(path.stat().st_size for path in (run / "checkpoints").rglob("*")) / kept
    each = stalled_s / max(len(commits) - 1, 1)  # the last is made when all steps are
    return [
        {"figure": "files of a checkpoint of BERT-mini", "value": size / 2**20, "unit": "MiB"},
        {"figure": f"stall of a checkpoint, mean of {len(commits) - 1}", "value": each * 1e3,
         "unit": "ms"},
        {"figure": "of the time, at one a minute", "value": each / 60 * 100, "unit": "%",
         "bound": "<= 2"},
    ]  # fmt: skip


def trainer(bench: Bench) -> list[Row]:
    run = bench.command("pretrain", settings(bench, bench.asked.steps))
    ours = statistics.median(column(run, "train/tokens_per_s")[FEW:])
    words = [sys.executable, OTHERS / "trainer_mlm.py", run / "job.yaml"]
    found = bench.other([*words, bench.corpus_folder("brown")], threads=WORKERS)
    theirs = found["tokens_per_s"]
    name = f"in {bench.asked.precision}"
    return [
        {"figure": f"orchestrator, tokens that are no padding, {name}", "value": ours,
         "unit": "tokens/s"},
        {"figure": f"Trainer, {name}", "value": theirs, "unit": "tokens/s"},
        {"figure": "one against the other", "value": ours / theirs, "unit": "×",
         "bound": ">= 3.5 in bf16 with AMX"},
    ]  # fmt: skip


if __name__ == "__main__":
    main()
