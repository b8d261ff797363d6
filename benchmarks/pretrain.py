"""Pretraining: what the framework costs, what packing gains, and whether anything is learnt.

    python benchmarks/pretrain.py [overhead|stall|trainer|learning …] [--rounds 2] [--json FILE]

All in turn on two cores of this machine, or on two GPUs where there are some:

    overhead   steps/s of `orchestrator run pretrain` against the same DeepSpeed loop under
               torchrun, without Ray, Hydra and tracking; BERT-mini, 30,522 words, ZeRO 2
    stall      what a checkpoint costs, of one a minute
    trainer    tokens/s against the Trainer of transformers with its usual recipe for masked words:
               text in blocks of 128, the same model, tokens, rate and number of tokens a step; and
               the validation loss of both after as many tokens
    learning   perplexity of BERT-tiny on the factbook after three minutes, against that of the
               best guess that does not look at the words around

Brown (`make data`) is the text where the factbook is not named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from data.fetch import BROWN, fetch

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
Row = dict[str, object]
Overrides = Mapping[str, object]

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
}
FEW = 4  # first steps, which warm up


def main() -> None:
    measures: dict[str, Callable[[Bench], list[Row]]] = {
        "overhead": overhead,
        "stall": stall,
        "trainer": trainer,
        "learning": learning,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=list(measures), choices=[*measures, []])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(
            Path(scratch),
            rounds=arguments.rounds,
            steps=arguments.steps,
            precision=arguments.precision,
        )
        for part in arguments.parts:
            print(f"{part} …", flush=True)
            rows += measures[part](bench)
    for row in rows:
        bound = f"(must be {row['bound']})" if "bound" in row else ""
        print(f"  {row['figure']:<66} {row['value']:>10,.4g} {row['unit']:<9} {bound}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


class Bench:
    """A storage in a scratch folder, and the commands that are run in it."""

    def __init__(self, scratch: Path, *, rounds: int, steps: int, precision: str) -> None:
        self.scratch, self.rounds, self.steps, self.precision = scratch, rounds, steps, precision
        self._prepared: set[str] = set()

    def brown(self) -> dict[str, object]:
        """Overrides for Brown as a corpus of 30,522 words, prepared at the first call."""
        path = fetch(BROWN) / "brown.txt"
        corpus = {
            "corpus": "text",
            "corpus.name": "brown",
            "corpus.sources.text.kind": "text",
            "corpus.sources.text.layout": "blocks",
            "corpus.sources.text.sentences": "lines",
            "corpus.sources.text.path": f"[{path}]",
            "corpus.validation_share": 0.05,
        }
        return self.prepared(corpus)

    def prepared(self, corpus: dict[str, object]) -> dict[str, object]:
        name = str(corpus.get("corpus.name", corpus["corpus"]))
        if name not in self._prepared:
            self.command("prepare", {**corpus, "cluster.num_workers": WORKERS})
            self._prepared.add(name)
        return corpus

    def command(self, kind: str, overrides: Overrides, *, code: int = 0) -> Path:
        """The folder of a run that has ended with this code."""
        words = [sys.executable, "-m", "orchestrator", "run", kind, "--json"]
        words += ["--storage", str(self.scratch / "runs")]
        words += [f"{key}={value}" for key, value in overrides.items()]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode != code:
            raise SystemExit(f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return Path(json.loads(done.stdout)["uri"])

    def corpus_folder(self, name: str) -> Path:
        return next((self.scratch / "runs" / "corpora").glob(f"{name}-*"))


def metrics(run: Path) -> list[dict[str, float]]:
    lines = [
        json.loads(line)
        for file in sorted((run / "metrics").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [line["values"] | {"step": line["step"], "tokens": line["tokens"]} for line in lines]


def column(run: Path, name: str) -> list[float]:
    return [values[name] for values in metrics(run) if name in values]


def overhead(bench: Bench) -> list[Row]:
    ours: list[float] = []
    theirs: list[float] = []
    brown = bench.brown()
    for number in range(bench.rounds):
        settings = MINI | brown | {"budget.steps": bench.steps, "precision": bench.precision}
        run = bench.command("pretrain", settings)
        steps = column(run, "train/step_s")[FEW:]
        ours.append(1 / statistics.median(steps))
        theirs.append(1 / statistics.median(plain_loop(bench, run)[FEW:]))
        print(f"  round {number + 1}: {ours[-1]:.3f} and {theirs[-1]:.3f} steps/s", flush=True)
        shutil.rmtree(run)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    middle = statistics.median
    return [
        {"figure": "orchestrator run pretrain", "value": middle(ours), "unit": "steps/s"},
        {"figure": "DeepSpeed under torchrun", "value": middle(theirs), "unit": "steps/s"},
        {
            "figure": "one against the other, pair by pair",
            "value": middle(ratios),
            "unit": "×",
            "bound": ">= 0.95",
        },
    ]


def plain_loop(bench: Bench, run: Path) -> list[float]:
    """Seconds of its steps."""
    answer = bench.scratch / "plain.json"
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(WORKERS)]
    words += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    words += [str(ROOT / "benchmarks" / "others" / "deepspeed_loop.py")]
    words += [str(run / "job.yaml"), str(bench.corpus_folder("brown")), str(answer)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr[-4000:]}")
    return list(json.loads(answer.read_text()))


def stall(bench: Bench) -> list[Row]:
    settings = MINI | bench.brown() | {"budget.steps": 3 * bench.steps, "checkpoint.every": "15s"}
    run = bench.command("pretrain", settings | {"precision": bench.precision})
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
    settings = MINI | bench.brown() | {"precision": bench.precision, "budget.steps": bench.steps}
    settings |= {"evaluation.every_steps": 10**6, "evaluation.packs": 32}
    run = bench.command("pretrain", settings)
    ours = statistics.median(column(run, "train/tokens_per_s")[FEW:])
    our_loss = column(run, "eval/loss")[-1]
    *_, last = [values for values in metrics(run) if "train/loss" in values]
    answer = bench.scratch / "trainer.json"
    words = [sys.executable, str(ROOT / "benchmarks" / "others" / "trainer_mlm.py")]
    words += [str(run / "job.yaml"), str(bench.corpus_folder("brown"))]
    words += [str(fetch(BROWN) / "brown.txt"), str(int(last["tokens"])), str(answer)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(WORKERS)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr[-4000:]}")
    theirs = json.loads(answer.read_text())
    name = f"in {bench.precision}"
    return [
        {"figure": f"orchestrator, tokens that are no padding, {name}", "value": ours,
         "unit": "tokens/s"},
        {"figure": f"Trainer, {name}", "value": theirs["tokens_per_s"], "unit": "tokens/s"},
        {"figure": "one against the other", "value": ours / theirs["tokens_per_s"], "unit": "×",
         "bound": ">= 3.5 in bf16 with AMX"},
        {"figure": f"validation loss after {last['tokens']:,} tokens", "value": our_loss,
         "unit": "nats"},
        {"figure": "Trainer's, of the same packs and masks", "value": theirs["loss"],
         "unit": "nats"},
    ]  # fmt: skip


def learning(bench: Bench) -> list[Row]:
    settings = bench.prepared({"corpus": "factbook"}) | {
        "model": "bert_tiny",
        "cluster.num_workers": WORKERS,
        "zero": 2,
        "batch.global_tokens": 4096,
        "batch.pack_tokens": 2048,
        "optim.lr": 2e-3,
        "schedule": "constant",
        "schedule.warmup": 50,
        "model.dropout": 0,
        "model.attention_dropout": 0,
        "budget.steps": 600,
        "budget.max_duration": "3m",
        "evaluation.every_steps": 100,
        "evaluation.packs": 32,
    }
    began = time.perf_counter()
    run = bench.command("pretrain", settings)
    took = time.perf_counter() - began
    curve = [values for values in metrics(run) if "eval/perplexity" in values]
    baseline = unigram_perplexity(bench.corpus_folder("factbook"), run / "job.yaml")
    for values in curve:
        print(f"  step {values['step']:>6}: perplexity {values['eval/perplexity']:.1f}")
    best = min(values["eval/perplexity"] for values in curve)
    return [
        {"figure": "the whole command", "value": took, "unit": "s"},
        {"figure": "perplexity of the frequencies of words", "value": baseline, "unit": ""},
        {"figure": "perplexity after 3 minutes of BERT-tiny", "value": best, "unit": ""},
        {"figure": "times better", "value": baseline / best, "unit": "×", "bound": ">= 3"},
    ]


def unigram_perplexity(corpus_folder: Path, job_file: Path) -> float:
    """Of the masked tokens of the validation split, guessed by how often each is in the other."""
    from orchestrator.corpus import layout
    from orchestrator.corpus.packs.mask import mask
    from orchestrator.corpus.packs.stream import Cursor
    from orchestrator.corpus.shards.read import open_corpus
    from orchestrator.corpus.tokens.tokenizer import open_tokenizer
    from orchestrator.settings.kinds import thaw
    from orchestrator.settings.pretrain import PretrainJob
    from orchestrator.training.recipe import masking_of, validation_stream

    job = thaw(job_file.read_text())
    assert isinstance(job, PretrainJob)
    corpus = open_corpus(corpus_folder)
    tokenizer = open_tokenizer(corpus.tokenizer)
    text = corpus.split(layout.TRAIN)
    tokens = text.read(np.arange(text.num_documents)).tokens_T
    counts_V = np.bincount(tokens, minlength=tokenizer.vocab_size) + 1  # none is impossible
    nats_V = -np.log(counts_V / counts_V.sum())
    stream = validation_stream(job, corpus, tokenizer)
    assert stream is not None
    targets: list[int] = []
    for pack, _ in stream.packs(Cursor()):
        if pack.epoch or pack.index >= job.evaluation.packs:
            break
        targets += mask(pack, masking_of(job), tokenizer.vocabulary).targets_P.tolist()
    return float(np.exp(nats_V[targets].mean()))


if __name__ == "__main__":
    main()
