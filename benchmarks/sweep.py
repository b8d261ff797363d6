"""Sweeps against the standard way; what a trial costs beside its work; what ASHA saves.

    python benchmarks/sweep.py [standard overhead asha] [--json FILE] [--brief]

`make data` first; on a quiet machine. Both sides of a ratio are measured in the same run.
`--brief` does a little of each, to see that it works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rig.bench import ROOT, Bench, Row, measure, output
from transformers import BertConfig, BertModel
from transformers.utils import logging

from data.fetch import MINILM, SENTIMENT, SIMILARITY, fetch
from orchestrator.runs.find import open_run
from orchestrator.settings.task import TRAIN, VALIDATION
from orchestrator.tasks.prepared import open_prepared
from orchestrator.tracking.metrics import read_metrics
from orchestrator.tuning.board import Board, read_board
from orchestrator.tuning.trials import Fate, Trial

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
AT_ONCE = 2
WARMUP = 50  # steps, on both sides
RATES = (1e-4, 1.5e-4, 2e-4, 2.5e-4, 3e-4, 4e-4, 5e-4, 6e-4, 7e-4, 8e-4, 9e-4, 1e-3)
SEEDS = (1, 2, 3)  # of the search


@dataclass(frozen=True, kw_only=True)
class Ground:
    folder: Path
    is_brief: bool

    def few(self, count: int, brief: int) -> int:
        return brief if self.is_brief else count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brief", action="store_true")
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    measure({each.__name__: partial(part, each) for each in (standard, overhead, asha)}, parser)


def part(figures: Callable[[Ground], Iterator[Row]], bench: Bench) -> list[Row]:
    folder = bench.scratch / figures.__name__
    folder.mkdir()
    ground = Ground(folder=folder, is_brief=bench.asked.brief)
    return [row | {"figure": f"{folder.name}: {row['figure']}"} for row in figures(ground)]


def standard(ground: Ground) -> Iterator[Row]:
    """Two at a time on two cores; wall-clock of the whole commands."""
    encoder = small_encoder(ground.folder / "encoder")
    rates = ", ".join(map(repr, RATES[: ground.few(12, 2)]))
    words = [*films(), f"encoder={encoder}", "search=grid", f"schedule.warmup={WARMUP}"]
    words += ["space=rate", "space.optim.lr.log_uniform=null", f"space.optim.lr.choice=[{rates}]"]
    words += ["space.batch.examples.choice=[16,32]", f"search.max_concurrent={AT_ONCE}"]
    words += ["task.data.test_share=0.5", "task.data.validation_share=0.2"]
    words += [f"budget.epochs={0.3 if ground.is_brief else 1}"]
    ours = swept(ground, "ours", words)
    told("standard", f"{len(ours.done)} trials here: {ours.took_s:.1f} s; now the standard way")
    theirs = trainers(ground, ours, encoder)
    told("standard", f"{len(theirs['trials'])} trials there: {theirs['command_s']:.1f} s")
    assert len(ours.done) == len(theirs["trials"]) == ground.few(24, 4)
    took_s = theirs["command_s"]
    yield row(f"{len(ours.done)} trials, orchestrator", ours.took_s, "s")
    yield row("the same, Ray Tune with Trainers", took_s, "s")
    yield row("best accuracy, orchestrator", ours.best)
    best = max(each["accuracy"] for each in theirs["trials"])
    yield row("best accuracy, Ray Tune with Trainers", best)
    yield row("time, as a share of the standard", ours.took_s / took_s, bound="<= 0.5")


def overhead(ground: Ground) -> Iterator[Row]:
    """One at a time: from a trial's end to the next one's, without its steps and measurements."""
    encoder = small_encoder(ground.folder / "encoder")
    words = [*films(), f"encoder={encoder}", "space=rate", "search.max_concurrent=1"]
    words += [f"budget.trials={ground.few(10, 3)}", "budget.epochs=0.5"]
    found = swept(ground, "one-by-one", words)
    begins, spent = dict(found.ends()), []
    for trial, before in zip(found.done[1:], found.done, strict=False):
        whole_s = begins[trial.number] - begins[before.number]
        busy_s = sum(found.busy(trial))
        spent.append(whole_s - busy_s)
        told("overhead", f"trial {trial.number}: {whole_s:.2f} s, of which {busy_s:.2f} s work")
    middle = statistics.median(spent)
    yield row("a warm trial beside its work, median", middle, "s", bound="< 1")
    yield row("the longest", max(spent), "s")


def asha(ground: Ground) -> Iterator[Row]:
    """The 24 points of the paper's grid, whole, and then sought for with a third of the epochs."""
    encoder = clipped_encoder(ground.folder / "encoder")
    words = [*pairs(ground), f"encoder={encoder}", "space=paper"]
    words += [f"search.max_concurrent={AT_ONCE}", "transfer.way=last", "transfer.layers=1"]
    if ground.is_brief:
        words += ["space.budget.epochs.choice=[1,2]", "space.batch.examples.choice=[32]"]
    grid = swept(ground, "grid", [*words, "search=grid"])
    told("asha", f"grid: best {grid.best:.4f}, {grid.epochs:g} epochs, {grid.took_s:.0f} s")
    yield row("best Spearman of the grid", grid.best)
    yield row("epochs of the grid", grid.epochs)
    words += ["search=asha_tpe", f"budget.trials={ground.few(12, 4)}", "search.startup_trials=5"]
    words += ["search.reduction=4"]
    bests, shares = [], []
    for seed in SEEDS[: ground.few(3, 1)]:
        found = swept(ground, f"asha-{seed}", [*words, f"search.seed={seed}"])
        bests.append(found.best)
        shares.append(found.epochs / grid.epochs)
        said = f"best {found.best:.4f}, {found.epochs:g} epochs, {found.took_s:.0f} s"
        told("asha", f"seed {seed}: {said}")
    middle = statistics.median(bests)
    yield row("best Spearman of ASHA with TPE, median", middle)
    yield row("points behind the grid, median", 100 * (grid.best - middle), bound="<= 0.3")
    share = statistics.median(shares)
    yield row("epochs, as a share of the grid's, median", share, bound="<= 0.35")
    yield row("the most", max(shares))


@dataclass(frozen=True, kw_only=True)
class Swept:
    run: Path
    took_s: float
    board: Board

    @property
    def done(self) -> list[Trial]:
        found = [each for each in self.board.trials if each.fate is Fate.FINISHED]
        return sorted(found, key=lambda each: each.number)

    @property
    def best(self) -> float:
        assert self.board.best is not None and self.board.best.value is not None
        return self.board.best.value

    @property
    def epochs(self) -> float:
        return sum(each.epochs for each in self.board.trials)

    def ends(self) -> Iterator[tuple[int, float]]:
        for event in open_run(str(self.run)).events():
            if event.kind == "trial_ended":
                yield int(event.fields["trial"]), event.time

    def busy(self, trial: Trial) -> Iterator[float]:
        """Seconds of its steps, and from the last of them to the measurement after it."""
        before = 0.0
        for line in read_metrics(open_run(str(self.run)).storage.child(trial.folder)):
            if "train/step_s" in line["values"]:
                yield line["values"]["train/step_s"]
            elif before:
                yield line["time"] - before
            before = line["time"]


def swept(ground: Ground, name: str, words: list[str]) -> Swept:
    told(ground.folder.name, f"orchestrator run sweep, {name} …")
    storage = ground.folder / name
    command = [sys.executable, "-m", "orchestrator", "run", "sweep", "--storage", str(storage)]
    project = ground.folder / "project"  # what is submitted as the user's code
    project.mkdir(exist_ok=True)
    (project / "mine.py").write_text("print('mine')\n")
    took_s = timed([*command, *words], project)
    (run,) = storage.glob("*-sweep-*")
    board = read_board(open_run(str(run)))
    assert not board.count(Fate.FAILED), [each.reason for each in board.trials]
    return Swept(run=run, took_s=took_s, board=board)


def trainers(ground: Ground, ours: Swept, encoder: Path) -> dict[str, Any]:
    """The same points on the same examples, read out of what our side prepared."""
    storage = ours.run.parent
    (prepared,) = (storage / "tasks").glob("*.pickle")
    task = open_prepared(open_run(str(ours.run)).parent, f"tasks/{prepared.name}")
    ids = task.labels.class_ids
    files = {}
    for name in (TRAIN, VALIDATION):
        lines = [
            json.dumps({"text": each.texts[0], "label": ids[each.target]})
            for each in task.splits[name].examples
        ]
        files[name] = str(ground.folder / f"{name}.jsonl")
        Path(files[name]).write_text("\n".join(lines))
    job = ours.board.job
    asked = files | {
        "encoder": str(encoder),
        "max_tokens": job.task.max_tokens,
        "num_classes": len(ids),
        "weight_decay": job.optim.weight_decay,
        "warmup": WARMUP,
        "seed": job.seed,
        "at_once": AT_ONCE,
        "points": [
            {"lr": each.point["optim.lr"], "batch": each.point["batch.examples"],
             "epochs": job.budget.epochs}
            for each in ours.done
        ],
    }  # fmt: skip
    question, answer = ground.folder / "asked.json", ground.folder / "answer.json"
    question.write_text(json.dumps(asked))
    other = ROOT / "benchmarks" / "others" / "tune_trainer.py"
    took_s = timed([sys.executable, str(other), str(question), str(answer)], ground.folder)
    found: dict[str, Any] = json.loads(answer.read_text())
    return found | {"command_s": took_s}


def films() -> list[str]:
    file = fetch(SENTIMENT) / "film.jsonl"
    task = ["task=film_polarity", f"task.data.splits.train.path=[{file}]", "tracking=off"]
    return [*task, "task.metrics=[accuracy]", "evaluation.test=false"]


def pairs(ground: Ground) -> list[str]:
    """A part of the STS Benchmark: its files are ordered by where the sentences are from."""
    source, words = fetch(SIMILARITY), ["task=sts_embeddings", "tracking=off"]
    for split, count in (("train", 1600), ("validation", 750), ("test", 50)):
        lines = (source / f"{split}.jsonl").read_text().splitlines()
        file = ground.folder / f"{split}.jsonl"
        file.write_text("\n".join(random.Random(split).sample(lines, ground.few(count, 50))))
        words.append(f"task.data.splits.{split}.path=[{file}]")
    return [*words, "evaluation.test=false"]


def small_encoder(folder: Path) -> Path:
    """As large as bert_tiny, with new weights and MiniLM's tokenizer."""
    source = fetch(MINILM)
    torch.manual_seed(1)
    config = BertConfig.from_pretrained(source)
    config.num_hidden_layers, config.num_attention_heads = 2, 2
    config.hidden_size, config.intermediate_size = 128, 512
    return _saved(BertModel(config), source, folder)


def clipped_encoder(folder: Path) -> Path:
    """The first layer of MiniLM: small enough for a hundred epochs, and it knows words."""
    source = fetch(MINILM)
    return _saved(BertModel.from_pretrained(source, num_hidden_layers=1), source, folder)


def _saved(model: BertModel, source: Path, folder: Path) -> Path:
    model.save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(source / name, folder / name)
    return folder


def timed(command: list[str], where: Path) -> float:
    began = time.perf_counter()
    output(command, {"WANDB_MODE": "disabled", "PYTHONPATH": str(ROOT)}, where)
    return time.perf_counter() - began


def row(figure: str, value: float, unit: str = "", bound: str | None = None) -> Row:
    given = {"figure": figure, "value": value, "unit": unit}
    return given if bound is None else given | {"bound": bound}


def told(part: str, text: str) -> None:
    print(f"{part}: {text}", flush=True)


if __name__ == "__main__":
    main()
