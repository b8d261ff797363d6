"""Pretraining: is anything learnt, and as much of a token as elsewhere?

    python benchmarks/learning.py [words|trainer …] [--steps 300] [--seeds 3] [--json FILE]

BERT-tiny on the factbook, two workers with ZeRO 2:

    words      perplexity after 600 steps, in under three minutes, against that of the best guess
               that does not look at the words around
    trainer    validation loss after as many tokens as the Trainer of transformers reads with its
               usual recipe (text in blocks of 128), of the same model at the same rate; over seeds
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from rig.bench import ROOT, WORKERS, Bench, Overrides, Row, measure, metrics

TINY: Overrides = {
    "corpus": "factbook",
    "model": "bert_tiny",
    "cluster.num_workers": WORKERS,
    "zero": 2,
    "batch.global_tokens": 4096,
    "batch.pack_tokens": 2048,
    "optim.lr": 2e-3,
    "schedule": "constant",
    "schedule.warmup": 50,
    "evaluation.packs": 32,
    "tracking": "off",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    measure({"words": words, "trainer": trainer}, parser)


def words(bench: Bench) -> list[Row]:
    bench.prepared({"corpus": "factbook"})
    given = TINY | {
        "model.dropout": 0,
        "model.attention_dropout": 0,
        "budget.steps": 600,
        "budget.max_duration": "3m",
        "evaluation.every_steps": 100,
    }
    began = time.perf_counter()
    run = bench.command("pretrain", given)
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


def trainer(bench: Bench) -> list[Row]:
    bench.prepared({"corpus": "factbook"})
    script = ROOT / "benchmarks" / "others" / "trainer_mlm.py"
    ours: list[float] = []
    theirs: list[float] = []
    for seed in range(1, bench.asked.seeds + 1):
        given = {"budget.steps": bench.asked.steps, "evaluation.every_steps": 10**6, "seed": seed}
        run = bench.command("pretrain", TINY | given)
        ours += [values["eval/loss"] for values in metrics(run) if "eval/loss" in values][-1:]
        asked = [sys.executable, script, run / "job.yaml", bench.corpus_folder("factbook")]
        theirs.append(bench.other(asked, threads=WORKERS)["loss"])
        print(f"  seed {seed}: {ours[-1]:.4f} and {theirs[-1]:.4f} nats", flush=True)
    tokens = f"{bench.asked.steps} steps of {TINY['batch.global_tokens']:,} tokens"
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    return [
        {"figure": f"validation loss after {tokens}", "value": statistics.fmean(ours),
         "unit": "nats"},
        {"figure": "the Trainer's, of the same packs and masks", "value": statistics.fmean(theirs),
         "unit": "nats"},
        {"figure": f"one less the other, means of {len(ours)} seeds", "value": difference,
         "unit": "nats", "bound": "<= 0"},
    ]  # fmt: skip


if __name__ == "__main__":
    main()
