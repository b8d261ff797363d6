"""A pretraining run followed to W&B while a worker of it is killed, with a real Ray and server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.corpus.making import a_corpus, a_document, make, text_of
from tests.real import Orchestrate, command, start
from tests.tracking.wandb.making import KEY, Loopback
from tests.training.ranks import rows

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.long]

STEPS = 16
SETTINGS = (
    *("model.layers=1", "model.hidden=32", "model.heads=2", "model.max_positions=64"),
    *("cluster.num_workers=2", "recovery.backoff=100ms", "checkpoint.every_steps=4"),
    *("batch.global_tokens=768", "batch.pack_tokens=128", "batch.seq_len=48"),
    *("schedule.warmup=4", f"budget.steps={STEPS}", "evaluation.every_steps=null"),
    *("tracking=online", "tracking.project=encoders", "extensions=[spy]"),
)
# Each process of the run that loads its extensions keeps a note of what it has imported.
SPY = """
import os, sys, threading, time
def look():
    note = os.path.join(os.environ["SPIED"], str(os.getpid()))
    while True:
        found = [name for name in ("torch", "deepspeed", "wandb") if name in sys.modules]
        with open(note + ".new", "w") as file:
            file.write(" ".join(found))
        os.replace(note + ".new", note)
        time.sleep(0.2)
threading.Thread(target=look, daemon=True).start()
"""


@pytest.fixture
def node(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a driver's node, and an extension in its working directory."""
    (tmp_path / "spied").mkdir()
    spy = Path(environment["PROJECT"]) / "spy.py"
    spy.write_text(SPY)
    yield environment | {"SPIED": str(tmp_path / "spied")}
    spy.unlink()


def corpus_at(folder: Path) -> tuple[str, ...]:
    """Overrides that name a prepared corpus."""
    text = folder / "text.txt"
    text.write_text(text_of([a_document(number) for number in range(120)]))
    make(a_corpus(text, name="text", part_bytes=2000), str(folder / "corpus"))
    return (
        *("corpus=text", "corpus.sources.text.layout=blocks", "corpus.part_bytes=2kB"),
        *("corpus.sources.text.sentences=lines", f"corpus.sources.text.path=[{text}]"),
        *("corpus.tokenizer.vocab_size=300", "corpus.validation_share=0.2"),
        f"corpus.path={folder / 'corpus'}",
    )


def test_a_run_whose_worker_is_killed_is_in_wandb_once_and_its_key_nowhere(
    orchestrate: Orchestrate, node: dict[str, str], wandb_server: Loopback, tmp_path: Path
) -> None:
    words = command("run", "pretrain", *SETTINGS, *corpus_at(tmp_path), "name=followed")
    process = start(words, node)
    try:
        said = kill_a_worker(process, Path(node["ORCHESTRATOR_STORAGE"]))
    finally:
        process.kill()  # where it has not ended by itself
        process.wait()
    (folder,) = Path(node["ORCHESTRATOR_STORAGE"]).glob("*-followed-*")
    look_at_rows(wandb_server, folder)
    url = json.loads(orchestrate("status", folder.name, "--json", **node).stdout)["wandb"]
    assert f"W&B: {url}" in said.splitlines() and url.startswith("http")
    notes = [note.read_text() for note in (tmp_path / "spied").iterdir()]
    assert sum("deepspeed" in note for note in notes) >= 3  # two ranks, one of them twice
    assert not any("wandb" in note for note in notes)
    synced = orchestrate("wandb", "sync", folder.name, **node)  # compares them row by row
    assert "rows are in W&B as they are here" in synced.stdout
    assert_nowhere(
        [folder, Path(node["ORCHESTRATOR_HOME"])], said, str(wandb_server.state()), synced.stdout
    )


def kill_a_worker(process: subprocess.Popen[str], storage: Path) -> str:
    """What was said until the run had recovered and ended."""
    reached(process, lambda: any(storage.glob("*-followed-*")))
    (folder,) = storage.glob("*-followed-*")
    reached(process, lambda: len(rows(folder, "steps")) >= 6)
    workers = [one for one in family(process.pid) if "RayTrainWorker" in " ".join(one.cmdline())]
    assert len(workers) == 2
    workers[1].send_signal(signal.SIGKILL)
    seen = set()
    while process.poll() is None:
        for one in family(process.pid):
            try:
                seen.add(" ".join(one.cmdline()))
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.1)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert any("orchestrator.tracking.wandb" in words for words in seen)
    assert any("wandb-core" in words for words in seen)
    assert not any(KEY in words for words in seen)
    return said


def look_at_rows(server: Loopback, folder: Path) -> None:
    sent = server.rows(folder.name)
    trained = [row for row in sent if "train/loss" in row]
    assert [row["train/step"] for row in trained] == list(range(1, STEPS + 1))
    assert {row["attempt"] for row in trained} == {1, 2}
    measured = {
        row["step"]: row["values"]
        for row in reversed(rows(folder, "metrics"))  # of repeated steps the first counts
        if "train/loss" in row["values"]
    }
    for row in trained:
        assert row["train/loss"] == measured[row["train/step"]]["train/loss"]
    for rank in (0, 1):
        load = [row for row in sent if f"system/rank/{rank}/cpu_percent" in row]
        assert load and all(row["train/step"] > 0 for row in load)
    assert server.bucket(folder.name)["exitcode"] == 0


def assert_nowhere(folders: list[Path], *said: str) -> None:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert not any(KEY in text for text in said)


def family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def reached(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0])
        time.sleep(0.01)
