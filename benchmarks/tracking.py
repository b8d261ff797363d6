"""What tracking costs: CPU-seconds a step with W&B followed and not, side by side.

    python benchmarks/tracking.py [--rounds 2] [--steps 60] [--model bert_mini] [--json FILE]

Each round pretrains BERT-mini (30,522 words, two workers, every step written) with tracking=off,
offline, and online to a server on loopback that speaks W&B's protocol, in turning order. Counted is
the CPU time of all processes of a run, wandb-core included, between two of its steps: from when
the forwarder has caught up (what its start takes is told apart) to the last but one. That is told
twice: as the tracking processes' own share, and as the ratio to the same round's run without.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rig.bench import ROOT, Bench, Overrides, Row, show

sys.path.insert(0, str(ROOT))  # for the server of the tests

from pretrain import MINI

from orchestrator.tracking.system import EVERY_S, SystemSampler
from tests.tracking.wandb.making import node_of, start_loopback

MODES = ("off", "offline", "online")
FEW = 6  # first steps, which warm up
BOUND = "<= 1"


@dataclass
class Tree:
    """CPU time of a process and all that it ever started; what has ended keeps its last value."""

    root: psutil.Process
    _spent: dict[tuple[int, float], float] = field(default_factory=dict)
    _tracks: dict[tuple[int, float], bool] = field(default_factory=dict)

    def look(self) -> tuple[float, float]:
        """Seconds of training and all around it, and of tracking."""
        for process in [self.root, *self.root.children(recursive=True)]:
            try:
                times, key = process.cpu_times(), (process.pid, process.create_time())
                if not self._tracks.get(key):  # a child is its parent's copy before its exec
                    words = " ".join(process.cmdline())
                    self._tracks[key] = "wandb-core" in words or ".tracking.wandb" in words
                self._spent[key] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
        tracking = sum(spent for key, spent in self._spent.items() if self._tracks[key])
        return sum(self._spent.values()) - tracking, tracking


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU-seconds of one run between two of its steps."""

    training_s: float  # a step
    tracking_s: float  # a step
    start_s: float  # of the tracking, once
    step_s: float  # of the clock
    steps: int

    @property
    def all_s(self) -> float:
        return self.training_s + self.tracking_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--model", default="bert_mini")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--corpus", default="brown", choices=["brown", "factbook"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        server = start_loopback(scratch)
        try:
            costs = measure(scratch, arguments, node_of(server, scratch))
        finally:
            server.process.kill()
            server.process.wait()
    rows = [*told(costs), *sampling(statistics.median(cost.step_s for cost in costs["off"]))]
    show(rows, arguments.json)
    return 0


def measure(
    scratch: Path, asked: argparse.Namespace, node: dict[str, str]
) -> dict[str, list[Cost]]:
    bench = Bench(scratch, asked)
    os.environ["WANDB_MODE"] = "disabled"  # of what prepares the corpus
    named = {"corpus": "factbook"}
    corpus = bench.brown() if asked.corpus == "brown" else bench.prepared(dict(named))
    settings = MINI | corpus | {"model": asked.model, "precision": asked.precision}
    costs: dict[str, list[Cost]] = {mode: [] for mode in MODES}
    for number in range(asked.rounds):
        for mode in MODES[number % 3 :] + MODES[: number % 3]:
            more: Overrides = {"tracking": mode, "budget.steps": asked.steps}
            cost = follow(scratch, {**settings, **more}, os.environ | node)
            costs[mode].append(cost)
            print(
                f"  round {number + 1}, {mode}: {cost.all_s:.3f} CPU-s a step over {cost.steps} "
                f"steps, {cost.tracking_s * 1e3:.1f} ms of it tracking; {cost.step_s:.3f} s a step",
                flush=True,
            )
    return costs


def follow(scratch: Path, overrides: Overrides, environment: dict[str, str]) -> Cost:
    runs = scratch / "runs"
    before = set(runs.glob("*-pretrain-*"))
    words = [sys.executable, "-m", "orchestrator", "run", "pretrain", "--storage", str(runs)]
    words += [f"{key}={value}" for key, value in overrides.items()]
    output = scratch / "output"
    with output.open("w") as file:
        process = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=file, stderr=file)
        tree, marks = Tree(psutil.Process(process.pid)), []
        last = int(str(overrides["budget.steps"])) - 1
        is_off = overrides["tracking"] == "off"
        while process.poll() is None and len(marks) < 2:
            time.sleep(0.1)
            spent = tree.look()
            step, is_ready = standing(set(runs.glob("*-pretrain-*")) - before)
            if step >= (FEW if not marks else last) and (marks or is_off or is_ready):
                marks.append((step, time.perf_counter(), *spent))
        process.wait()
    if process.returncode or len(marks) < 2 or marks[1][0] <= marks[0][0]:
        raise SystemExit(
            f"{' '.join(words)}\n{output.read_text()[-4000:]}\nThe run ended before its "
            "forwarder had caught up: more --steps, or a machine that nobody else uses."
        )
    first, second = marks
    steps = second[0] - first[0]
    return Cost(
        training_s=(second[2] - first[2]) / steps,
        tracking_s=(second[3] - first[3]) / steps,
        start_s=first[3],
        step_s=(second[1] - first[1]) / steps,
        steps=steps,
    )


def standing(found: set[Path]) -> tuple[int, bool]:
    """How many steps the run has made, and whether its forwarder has caught up with them."""
    for run in found:
        lines = b"".join(file.read_bytes() for file in (run / "steps").glob("*.jsonl"))
        report = run / "wandb" / "report.json"
        rows = json.loads(report.read_text())["rows"] if report.exists() else 0
        return lines.count(b"\n"), rows > 0
    return 0, False


def told(costs: dict[str, list[Cost]]) -> list[Row]:
    middle = statistics.median
    rows: list[Row] = []
    for mode in MODES:
        each = middle(cost.all_s for cost in costs[mode])
        rows.append({"figure": f"a step, tracking={mode}", "value": each, "unit": "CPU-s"})
    for mode in MODES[1:]:
        pairs = list(zip(costs[mode], costs["off"], strict=True))
        own = middle(on.tracking_s / off.all_s for on, off in pairs)
        ratio = middle(on.all_s / off.all_s - 1 for on, off in pairs)
        slower = middle(on.step_s / off.step_s - 1 for on, off in pairs)
        starts = middle(cost.start_s for cost in costs[mode])
        rows += [
            {"figure": f"{mode}: its own processes, of a step's CPU", "value": own * 100,
             "unit": "%", "bound": BOUND},
            {"figure": f"{mode}: all processes against off, pair by pair", "value": ratio * 100,
             "unit": "%", "bound": f"{BOUND}, and the noise of two runs"},
            {"figure": f"{mode}: the clock against off, pair by pair", "value": slower * 100,
             "unit": "%"},
            {"figure": f"{mode}: a start, once a run", "value": starts, "unit": "CPU-s"},
        ]  # fmt: skip
    return rows


def sampling(step_s: float) -> list[Row]:
    """What a rank pays for the figures of its load."""
    sampler, count = SystemSampler(), 500
    begin = time.process_time()
    for _ in range(count):
        sampler.sample()
    each = (time.process_time() - begin) / count
    return [
        {"figure": "a sample of a rank's load", "value": each * 1e3, "unit": "CPU-ms"},
        {"figure": f"of a rank's time, at one every {EVERY_S:g} s", "value": each / EVERY_S * 100,
         "unit": "%", "bound": "<= 0.1"},
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
