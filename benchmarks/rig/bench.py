"""What benchmarks have in common: a storage in a scratch folder, commands run in it, their figures.

Each benchmark is a script; Python finds this folder beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from data.fetch import BROWN, fetch

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
Row = dict[str, object]
Overrides = Mapping[str, object]
Parts = Mapping[str, Callable[["Bench"], list[Row]]]


class Bench:
    def __init__(self, scratch: Path, asked: argparse.Namespace) -> None:
        self.scratch, self.asked = scratch, asked
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

    def corpus_folder(self, name: str) -> Path:
        return next((self.scratch / "runs" / "corpora").glob(f"{name}-*"))

    def command(self, kind: str, overrides: Overrides) -> Path:
        """The folder of a run that has finished."""
        words = [sys.executable, "-m", "orchestrator", "run", kind, "--json"]
        words += ["--storage", str(self.scratch / "runs")]
        words += [f"{key}={value}" for key, value in overrides.items()]
        return Path(json.loads(output(words))["uri"])

    def other(self, words: Sequence[object], *, threads: int) -> object:
        """What another system's script writes into the file that it is given last."""
        answer = self.scratch / "answer.json"
        environment = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        output([*map(str, words), str(answer)], environment)
        return json.loads(answer.read_text())


def output(
    words: Sequence[str], environment: Mapping[str, str] | None = None, where: Path = ROOT
) -> str:
    """What a command printed; its own words where it failed."""
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        cwd=where,
        env=os.environ | (environment or {}),
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def metrics(run: Path) -> list[dict[str, float]]:
    lines = [
        json.loads(line)
        for file in sorted((run / "metrics").glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return [line["values"] | {"step": line["step"], "tokens": line["tokens"]} for line in lines]


def column(run: Path, name: str) -> list[float]:
    return [values[name] for values in metrics(run) if name in values]


def measure(parts: Parts, parser: argparse.ArgumentParser) -> None:
    """Runs the parts that are asked for, and shows their figures."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("parts", nargs="*", default=[], choices=[*parts, []])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), asked)
        for part in asked.parts or parts:
            print(f"{part} …", flush=True)
            rows += parts[part](bench)
    show(rows, asked.json)


def show(rows: Sequence[Row], file: Path | None) -> None:
    for row in rows:
        bound = f"(must be {row['bound']})" if "bound" in row else ""
        print(f"  {row['figure']:<66} {row['value']:>10,.4g} {row['unit']:<9} {bound}")
    if file:
        file.write_text(json.dumps(rows, indent=1) + "\n")
