"""How fast text becomes shards, and in how much memory, beside what one would use otherwise.

    python benchmarks/prepare.py [--megabytes 120] [--rounds 3] [--json FILE]

One sentence a line, so that splitting is not measured; the same tokenizer and the same two cores
for everybody, each in a process of its own, in turn. `prepare` is a run as a user starts one; its
time is that of its parts, from the first task to the manifest (a cluster is up already), and the
whole command's is told beside it. Text comes from `make data`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from data.fetch import BROWN, fetch

WORKERS = 2
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)

    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch), arguments.megabytes, arguments.rounds)
    for row in rows:
        bound = f"(must be {row['bound']})" if "bound" in row else ""
        print(f"  {row['figure']:<60} {row['value']:>10,.3g} {row['unit']:<8} {bound}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(scratch: Path, megabytes: int, rounds: int) -> list[Row]:
    text = scratch / "text.txt"
    size = write_text(text, megabytes * 10**6)
    tokenizer = first_tokenizer(scratch, text)
    speeds: dict[str, list[float]] = {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        took, whole = prepared(scratch, text, tokenizer)
        speeds.setdefault("prepare", []).append(size / took)
        speeds.setdefault("prepare, the whole command", []).append(size / whole)
        for name, function in (("datasets.map", mapped), ("encode_batch", encoded)):
            speeds.setdefault(name, []).append(size / apart(function, text, tokenizer, scratch))
    rows: list[Row] = [
        {"figure": name, "value": statistics.median(values) / 1e6, "unit": "MB/s"}
        for name, values in speeds.items()
    ]
    for name, bound in (("datasets.map", ">= 1.3"), ("encode_batch", ">= 0.7")):
        ratios = [a / b for a, b in zip(speeds["prepare"], speeds[name], strict=True)]
        figure = f"prepare against {name}, pair by pair"
        rows.append(
            {"figure": figure, "value": statistics.median(ratios), "unit": "×", "bound": bound}
        )
    return rows + memory(scratch, text, tokenizer)


def write_text(target: Path, size: int) -> int:
    """Brown, again and again until it is enough: documents apart, a sentence a line."""
    text = (fetch(BROWN) / "brown.txt").read_bytes().rstrip(b"\n") + b"\n\n"
    with target.open("wb") as file:
        while file.tell() < size:
            file.write(text)
        return file.tell()


def overrides(text: Path, **settings: object) -> list[str]:
    source = {"kind": "text", "layout": "blocks", "sentences": "lines", "path": f"[{text}]"}
    given = {f"corpus.sources.text.{key}": value for key, value in source.items()} | settings
    return [f"{key}={value}" for key, value in given.items()]


def first_tokenizer(scratch: Path, text: Path) -> Path:
    from orchestrator.corpus.tokens.train import train_tokenizer
    from orchestrator.settings.corpus import Tokenizer

    folder = scratch / "tokenizer"
    folder.mkdir()
    with text.open() as lines:
        sample = [line for _, line in zip(range(200_000), lines, strict=False)]
    train_tokenizer(iter(sample), Tokenizer(), folder)
    return folder


def run_prepare(
    scratch: Path, text: Path, tokenizer: Path, watch: Callable[[int], None] | None = None
) -> tuple[dict[str, float], float]:
    """When each event of the run was, and what the whole command took."""
    storage = scratch / "runs"
    words = [sys.executable, "-m", "orchestrator", "run", "prepare", "--storage", str(storage)]
    words += ["corpus=text", f"cluster.num_workers={WORKERS}", f"corpus.tokenizer.path={tokenizer}"]
    words += ["corpus.part_bytes=8MiB", "--json", *overrides(text)]
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if watch is not None:
        watch(process.pid)
    out, _ = process.communicate()
    took = time.perf_counter() - began
    answer = json.loads(out)
    if process.returncode:
        raise SystemExit(f"prepare failed: {answer}")
    folder = Path(answer["uri"])
    events = [
        json.loads(line)
        for file in sorted((folder / "events").iterdir())
        for line in file.read_text().splitlines()
    ]
    shutil.rmtree(storage)
    return {event["kind"]: event["time"] for event in events}, took


def prepared(scratch: Path, text: Path, tokenizer: Path) -> tuple[float, float]:
    times, whole = run_prepare(scratch, text, tokenizer)
    return times["prepared"] - times["running"], whole


def apart(function: Callable[..., None], *given: object) -> float:
    """In a fresh process, as the other is."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_timed, args=(function, answers, given))
    process.start()
    took: float = answers.get()
    process.join()
    return took


def _timed(function: Callable[..., Callable[[], None]], answers: object, given: tuple) -> None:
    work = function(*given)  # loading is not measured
    began = time.perf_counter()
    work()
    answers.put(time.perf_counter() - began)  # type: ignore[attr-defined]


def mapped(text: Path, tokenizer: Path, scratch: Path) -> Callable[[], None]:
    from datasets import Dataset, disable_caching, disable_progress_bars
    from transformers import AutoTokenizer

    disable_caching()
    disable_progress_bars()
    fast = AutoTokenizer.from_pretrained(tokenizer)
    lines = [line for line in text.read_text().split("\n") if line]
    data = Dataset.from_dict({"text": lines})
    folder = scratch / "mapped"

    def work() -> None:
        def tokenise(rows: dict[str, list[str]]) -> object:
            return fast(rows["text"], add_special_tokens=False, return_attention_mask=False)

        done = data.map(tokenise, batched=True, num_proc=WORKERS, remove_columns=["text"])
        done.save_to_disk(folder, num_proc=WORKERS)
        shutil.rmtree(folder)

    return work


def encoded(text: Path, tokenizer: Path, scratch: Path) -> Callable[[], None]:
    from tokenizers import Tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    fast = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    lines = [line for line in text.read_text().split("\n") if line]

    def work() -> None:
        for begin in range(0, len(lines), 10_000):
            for one in fast.encode_batch(lines[begin : begin + 10_000], add_special_tokens=False):
                _ = one.ids

    return work


def memory(scratch: Path, text: Path, tokenizer: Path) -> list[Row]:
    """The most that a worker's process took, and the same for ten times the text."""
    size = text.stat().st_size
    peaks = {}
    for times in (0.1, 1.0):
        part = scratch / f"part-{times}.txt"
        with text.open("rb") as whole, part.open("wb") as file:
            file.write(whole.read(int(size * times)))
        peaks[times] = peak_of_workers(scratch, part, tokenizer)
    rows: list[Row] = [
        {"figure": f"peak memory of a worker, {size * times / 1e6:.0f} MB of text",
         "value": peak / 2**20, "unit": "MiB", "bound": "< 1024"}
        for times, peak in peaks.items()
    ]  # fmt: skip
    ratio = peaks[1.0] / peaks[0.1]
    figure = "peak memory, a corpus 10 times larger"
    return [*rows, {"figure": figure, "value": ratio, "unit": "×", "bound": "<= 1.2"}]


def peak_of_workers(scratch: Path, text: Path, tokenizer: Path) -> int:
    peak, over = 0, threading.Event()

    def watch(pid: int) -> None:
        def look() -> None:
            nonlocal peak
            while not over.wait(0.1):
                with suppress(psutil.Error):  # processes come and go
                    for process in psutil.Process(pid).children(recursive=True):
                        if process.name().startswith("ray::"):
                            peak = max(peak, process.memory_info().rss)

        threading.Thread(target=look, daemon=True).start()

    run_prepare(scratch, text, tokenizer, watch)
    over.set()
    return peak


if __name__ == "__main__":
    main()
