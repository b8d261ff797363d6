"""How long a plan takes, and a submission beside `ray job submit` of the same working directory.

    python benchmarks/dispatch.py [--pairs 7] [--json FILE]

Every pair submits the same files, changed before the pair so that both sides upload, one after the
other on the same local cluster; the order alternates. Quoted: medians, and the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MAX_PLAN_S, MAX_RATIO = 2.5, 1.25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-dispatch-") as scratch:
        bench = Bench(Path(scratch))
        bench.orchestrate("cluster", "up", "--port", "0")
        try:
            figures = measure(bench, arguments.pairs)
        finally:
            bench.orchestrate("cluster", "down")
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if figures["plan_s"] < MAX_PLAN_S and figures["ratio"] <= MAX_RATIO else 1


class Bench:
    def __init__(self, scratch: Path) -> None:
        self.project = scratch / "project"
        for name in ("orchestrator", "conf", "jobs"):
            shutil.copytree(
                REPOSITORY / name,
                self.project / name,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        self.state = scratch / "state"
        self.environment = os.environ | {
            "ORCHESTRATOR_HOME": str(self.state),
            "ORCHESTRATOR_STORAGE": str(scratch / "runs"),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.state / "cluster-token"),
        }
        git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "bench"]):
            subprocess.run([*git, *words], cwd=self.project, check=True)

    def change(self, number: int) -> None:
        (self.project / "changed.py").write_text(f"NUMBER = {number}\n" + "# filler\n" * 20_000)

    def orchestrate(self, *words: str) -> str:
        return self.run([sys.executable, "-m", "orchestrator", *words])

    def ray(self, *words: str) -> str:
        return self.run([str(Path(sys.executable).parent / "ray"), *words])

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def measure(bench: Bench, pairs: int) -> dict[str, object]:
    address = json.loads(bench.orchestrate("cluster", "status", "--json"))["address"]
    # Planned for this machine, as a laptop without a cluster does.
    bench.environment["ORCHESTRATOR_HOME"] += "-none"
    plans = [timed(bench, "plan", "probe", "--json") for _ in range(pairs)]
    bench.environment["ORCHESTRATOR_HOME"] = str(bench.state)
    ours: list[float] = []
    rays: list[float] = []
    for number in range(-1, pairs):  # the first pair warms up
        bench.change(number)
        order = (submit_ours, submit_ray) if number % 2 else (submit_ray, submit_ours)
        taken = {side: side(bench, address) for side in order}
        if number >= 0:
            ours.append(taken[submit_ours])
            rays.append(taken[submit_ray])
    ratios = [mine / theirs for mine, theirs in zip(ours, rays, strict=True)]
    return {
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}",
        "pairs": pairs,
        "plan_s": statistics.median(plans),
        "submit_s": statistics.median(ours),
        "ray_job_submit_s": statistics.median(rays),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def timed(bench: Bench, *words: str) -> float:
    begin = time.perf_counter()
    bench.orchestrate(*words)
    return time.perf_counter() - begin


def submit_ours(bench: Bench, address: str) -> float:
    taken = timed(bench, "submit", "probe", "probe.hold=1h", "--json")
    bench.orchestrate("stop", "@last", "--grace", "1")
    return taken


def submit_ray(bench: Bench, address: str) -> float:
    words = ["job", "submit", "--no-wait", "--address", address, "--working-dir", "."]
    begin = time.perf_counter()
    said = bench.ray(*words, "--submission-id", f"bench-{time.time_ns()}", "--", "sleep", "3600")
    taken = time.perf_counter() - begin
    submission = next(word.strip("'") for word in said.split() if word.startswith("'bench-"))
    bench.ray("job", "stop", "--address", address, submission)
    return taken


def show(figures: dict[str, object]) -> None:
    print(f"on {figures['machine']}, medians of {figures['pairs']}")
    print(
        f"  plan probe --json              {figures['plan_s']:.2f} s   (must be < {MAX_PLAN_S} s)"
    )
    print(f"  orchestrator submit            {figures['submit_s']:.2f} s")
    print(f"  ray job submit, same folder    {figures['ray_job_submit_s']:.2f} s")
    print(f"  ratio, pair by pair            {figures['ratio']:.2f}     (must be <= {MAX_RATIO})")


if __name__ == "__main__":
    sys.exit(main())
