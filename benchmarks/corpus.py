"""How fast the stream of packs is made: masking, cutting, packing and its fill, start at a cursor.

    python benchmarks/corpus.py [--seconds 2] [--json FILE]

One core (numpy's own threads do nothing here). Documents are synthetic: lognormal lengths with a
mean of 600 tokens, sentences of about 20. Huge corpora are simulated by repeating a bank of
documents, so that what is measured is the order and the window, not a disk.

Beside our start at a cursor stands the order of an epoch in mosaicml-streaming, which computes all
of it at every start. That package is fetched into build/ at the first run, without what it needs
for anything else; where it cannot be had, its rows say so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from rig.bank import PACK_TOKENS, BankCorpus, Row, recipe_of, row

from orchestrator.corpus.arrays import Int64s
from orchestrator.corpus.packs.audit import StepRecord, audit
from orchestrator.corpus.packs.cut import Documents, Samples, cut
from orchestrator.corpus.packs.loader import Loader
from orchestrator.corpus.packs.mask import Masked, Masking, Unit, Vocabulary, mask
from orchestrator.corpus.packs.order import Order
from orchestrator.corpus.packs.pack import pack as pack_samples
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.stream import Cursor, Share, Stream
from orchestrator.corpus.packs.window import Pack, Recipe, open_window

ROOT = Path(__file__).resolve().parent.parent
OTHER = "mosaicml-streaming==0.13.0"
VOCABULARY = Vocabulary(size=30_522, mask_id=103, special_ids=(0, 100, 101, 102, 103))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each throughput figure")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    corpus = BankCorpus(num_documents=10**6)
    rows = [
        *cutting_and_packing(corpus, arguments.seconds),
        *laying_out_and_masking(corpus, arguments.seconds),
        *loading(corpus, arguments.seconds),
        *auditing(corpus),
        *starting(),
        *other_order(),
    ]
    print(
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, numpy {np.__version__}"
    )
    for each in rows:
        bound = f"(must be {each['bound']})" if "bound" in each else ""
        value = "not installed" if each["value"] is None else f"{each['value']:,.4g}"
        print(f"  {each['figure']:<62} {value:>13} {each['unit']:<12} {bound}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def rate(work: Callable[[], int], seconds: float) -> float:
    """Tokens a second of work that returns how many tokens it did: the median of five parts.

    By the process's own clock: what else runs on this machine shall not show.
    """
    work()  # warm
    rates = []
    for _ in range(5):
        done, begin = 0, time.process_time()
        while (taken := time.process_time() - begin) < seconds / 5:
            done += work()
        rates.append(done / taken)
    return statistics.median(rates)


def cutting_and_packing(corpus: BankCorpus, seconds: float) -> list[Row]:
    rows: list[Row] = []
    for seq_len in (128, 512):
        for pairing in (Pairing.NONE, Pairing.NSP):
            recipe = recipe_of(corpus, seq_len, pairing)
            documents = corpus.read(np.arange(recipe.window_documents))
            samples = cut(documents, recipe.cutting, 0)
            size = int(samples.sizes_S.sum())

            def cut_all(documents: Documents = documents, recipe: Recipe = recipe) -> int:
                cut(documents, recipe.cutting, 0)
                return len(documents.tokens_T)

            def pack_all(samples: Samples = samples, size: int = size) -> int:
                pack_samples(
                    samples.sizes_S, samples.ids_S, pack_tokens=PACK_TOKENS, seed=1, epoch=0
                )
                return size

            stream = Stream(corpus, recipe)
            packs = [pack for pack, _ in islice(stream.packs(Cursor()), 2048)]
            full = sum(len(pack.tokens_T) for pack in packs) / (len(packs) * PACK_TOKENS)
            name = f"seq_len {seq_len}, pairs {pairing}"
            rows += [
                row(f"cut, {name}", rate(cut_all, seconds) / 1e6, "M tokens/s"),
                row(f"pack, {name}", rate(pack_all, seconds) / 1e6, "M tokens/s"),
                row(f"fill of 2,048 packs, {name}", 100 * full, "%", "≥ 99"),
            ]
    return rows


def laying_out_and_masking(corpus: BankCorpus, seconds: float) -> list[Row]:
    recipe = recipe_of(corpus, 512, Pairing.NONE)
    stream = Stream(corpus, recipe)
    packs = [pack for pack, _ in islice(stream.packs(Cursor()), 64)]
    size = sum(len(pack.tokens_T) for pack in packs)
    endless = stream.packs(Cursor())
    rows = [
        row(
            "whole stream: order, read, cut, pack, lay out",
            rate(lambda: len(next(endless)[0].tokens_T), seconds) / 1e6,
            "M tokens/s",
        )
    ]
    for unit, bound in ((Unit.TOKEN, "≥ 30"), (Unit.WORD, ""), (Unit.NGRAM, "")):
        masking = Masking(seed=1, unit=unit)

        def mask_all(masking: Masking = masking) -> int:
            for one in packs:
                mask(one, masking, VOCABULARY)
            return size

        rows.append(row(f"mask, choice {unit}", rate(mask_all, seconds) / 1e6, "M tokens/s", bound))
    return rows


def loading(corpus: BankCorpus, seconds: float) -> list[Row]:
    """The loader alone, and beside a step of torch on one thread that eats 65,000 tokens."""
    import torch

    masking = Masking(seed=1)

    def transform(packs: list[Pack]) -> list[Masked]:
        return [mask(pack, masking, VOCABULARY) for pack in packs]

    def a_loader() -> Loader[list[Masked]]:
        stream = Stream(corpus, recipe_of(corpus, 512, Pairing.NONE))
        share = Share(packs_per_step=8, micro_packs=1, world=1, rank=0)
        return Loader(stream, lambda _: share, Cursor(), transform=transform)

    def tokens(batches: list[list[Masked]]) -> int:
        return sum(len(masked.tokens_T) for batch in batches for masked in batch)

    with a_loader() as loader:
        alone = rate(lambda: tokens(next(loader)[0]), seconds) / 1e6
    torch.set_num_threads(1)
    matrix = torch.ones(512, 512)

    def compute() -> float:
        begin = time.perf_counter()
        for _ in range(30):
            matrix @ matrix
        return time.perf_counter() - begin

    idle, beside, waits = [], [], []
    with a_loader() as loader:
        next(loader)
        for _ in range(20):
            time.sleep(0.2)  # the thread has made all that there is room for
            idle.append(compute())
            waited_s = loader.waited_s
            next(loader)
            waits.append(loader.waited_s - waited_s)
            beside.append(compute())
    slower = statistics.median(beside) / statistics.median(idle) - 1
    of_step = f"of a step of {1e3 * statistics.median(idle):.0f} ms"
    return [
        row("loader with token masking", alone, "M tokens/s", "≥ 0.14"),
        row(f"data wait, {of_step}", 1e3 * statistics.median(waits), "ms"),
        row(f"slower beside the loader's thread, {of_step}", 100 * slower, "%"),
    ]


def auditing(corpus: BankCorpus) -> list[Row]:
    """Of one long step that fed something else: what costs is to find out."""
    recipe = recipe_of(corpus, 512, Pairing.NONE)
    end = Cursor(window=7, pack=200, packs_total=2000)
    record = StepRecord(step=1, attempt=1, begin=Cursor(), end=end, num_packs=2000, fed_hash=0)
    begin = time.process_time()
    found = audit(corpus, recipe, lambda: [record])
    taken = time.process_time() - begin
    return [row("audit", found.tokens / taken / 1e6, "M tokens/s")]


def starting() -> list[Row]:
    rows: list[Row] = []
    for count in (10**6, 10**7, 10**8, 10**9):
        corpus = BankCorpus(num_documents=count)
        for seq_len in (128, 512):
            recipe = recipe_of(corpus, seq_len, Pairing.NONE)
            taken = []
            for attempt in range(5):
                middle = count // recipe.window_documents // 2 + attempt
                cursor = Cursor(epoch=1, window=middle, pack=7, packs_total=7)
                begin = time.perf_counter()
                next(Stream(corpus, recipe).packs(cursor))
                taken.append(time.perf_counter() - begin)
            name = f"cursor to first pack, {count:,} documents, {seq_len}"
            rows.append(row(name, 1e3 * statistics.median(taken), "ms", "< 50"))
        order = Order(count=count, seed=1, epoch=1)
        peak = peak_of(lambda order=order: order.between(order.count // 2, order.count // 2 + 4096))
        rows.append(row(f"memory of order, {count:,} documents", peak / 1e6, "MB", "< 10"))
    # Of the largest, whose documents make about a billion samples of 512. Its text is read before:
    # how it comes into memory is the shards' matter, and they have a row of their own.
    bank = Read(corpus)
    open_window(bank, recipe, epoch=1, window=middle, packs_before=0)
    peak = peak_of(lambda: open_window(bank, recipe, epoch=1, window=middle, packs_before=0))
    return [*rows, row(f"memory of order and plan, {count:,} documents", peak / 1e6, "MB", "< 10")]


class Read:
    """A corpus that holds what was read last."""

    def __init__(self, corpus: BankCorpus) -> None:
        self.num_documents = corpus.num_documents
        self._corpus = corpus
        self._last: Documents | None = None

    def read(self, indices_D: Int64s) -> Documents:
        self._last = self._last or self._corpus.read(indices_D)
        return self._last


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes that it holds at a time."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def other_order() -> list[Row]:
    """An interpreter of its own: the package's modules would not be ours alone."""
    folder = ROOT / "build" / OTHER.replace("==", "-")
    if not (folder / "streaming").exists():
        install = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", OTHER]
        subprocess.run([*install, "--target", folder], stderr=subprocess.DEVNULL, check=False)
    script = ROOT / "benchmarks" / "others" / "streaming_order.py"
    found = {"ms": None, "MB": None}
    if (folder / "streaming").exists():
        done = subprocess.run([sys.executable, script, folder], capture_output=True, check=True)
        found = json.loads(done.stdout)
    name = f"{OTHER}: order of 10,000,000 samples"
    return [row(name, found["ms"], "ms"), row(f"{name}, memory", found["MB"], "MB")]


if __name__ == "__main__":
    main()
