"""Pretraining from the command line: killed, stopped, resumed, and looked at, with a real Ray."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob
from tests.corpus.making import a_corpus, a_document, make, text_of
from tests.real import Orchestrate, command, start
from tests.training.ranks import rows, run, write_run
from tests.training.test_exactness import by_step, weights

pytestmark = [pytest.mark.ray, pytest.mark.faults]

STEPS = 20
SETTINGS = (
    *("model.layers=2", "model.hidden=32", "model.heads=2", "model.max_positions=64"),
    *("objective=mlm_nsp", "zero=2", "cluster.num_workers=2", "recovery.backoff=100ms"),
    *("batch.global_tokens=768", "batch.pack_tokens=128", "batch.seq_len=48"),
    *("optim.lr=0.01", "schedule.warmup=4", f"budget.steps={STEPS}", "checkpoint.every_steps=5"),
    *("evaluation.every_steps=10", "evaluation.packs=4"),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Overrides that name a prepared corpus."""
    folder = tmp_path_factory.mktemp("corpus")
    text = folder / "text.txt"
    text.write_text(text_of([a_document(number) for number in range(120)]))
    given = a_corpus(text, name="text", part_bytes=2000)
    make(given, str(folder / "corpus"))
    return (
        "corpus=text",
        "corpus.sources.text.layout=blocks",
        "corpus.sources.text.sentences=lines",
        f"corpus.sources.text.path=[{text}]",
        "corpus.tokenizer.vocab_size=300",
        "corpus.validation_share=0.2",
        "corpus.part_bytes=2kB",
        f"corpus.path={folder / 'corpus'}",
    )


@pytest.mark.parametrize("is_stopped", [False, pytest.param(True, marks=pytest.mark.long)])
def test_killed_stopped_and_resumed_it_ends_with_the_weights_of_a_straight_run(
    orchestrate: Orchestrate,
    environment: dict[str, str],
    corpus: tuple[str, ...],
    tmp_path: Path,
    is_stopped: bool,
) -> None:
    """A stop alone is in the tests of clusters, and what it leaves in those of plain processes."""
    name = "stopped-too" if is_stopped else "disturbed"
    process = start(command("run", "pretrain", *SETTINGS, *corpus, f"name={name}"), environment)
    try:
        folder = kill_a_worker(process, Path(environment["ORCHESTRATOR_STORAGE"]), name)
        if is_stopped:
            process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=240)
        assert process.returncode == (4 if is_stopped else 0), told
    finally:
        process.kill()  # where it has not ended by itself
        process.wait()
    if is_stopped:
        orchestrate("resume", name)
    straight = a_straight_run(tmp_path / "straight", folder)
    expected, found = by_step(straight), by_step(folder)
    assert sorted(found) == list(range(1, STEPS + 1))
    assert all(each == expected[step][0] for step, values in found.items() for each in values[:1])
    assert weights(folder) == weights(straight) != {}
    look_at(orchestrate, folder, resumed=2 if is_stopped else 1)


def kill_a_worker(process: subprocess.Popen[str], storage: Path, name: str) -> Path:
    """By SIGKILL; it comes back when the run has recovered."""
    wait_for(process, lambda: any(storage.glob(f"*-{name}-*")))
    (folder,) = storage.glob(f"*-{name}-*")
    wait_for(process, lambda: len(rows(folder, "steps")) >= 7)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "RayTrainWorker" in "".join(child.cmdline())
    ]
    assert len(workers) == 2
    workers[1].send_signal(signal.SIGKILL)
    wait_for(process, lambda: any(row["attempt"] == 2 for row in rows(folder, "steps")))
    return folder


def a_straight_run(folder: Path, like: Path) -> Path:
    """The same job by two plain processes, which nobody disturbs."""
    job = thaw((like / "job.yaml").read_text())
    assert isinstance(job, PretrainJob) and job.corpus.path is not None
    write_run(folder, job, job.corpus.path)
    run(folder, world=2)
    return folder


def look_at(orchestrate: Orchestrate, folder: Path, *, resumed: int) -> None:
    """What the verbs say of it."""
    listed = json.loads(orchestrate("checkpoints", folder.name, "--verify", "--json").stdout)
    assert [one["step"] for one in listed["checkpoints"]][-1] == STEPS
    audited = json.loads(orchestrate("audit", folder.name, "--json").stdout)
    assert audited["is_clean"] and audited["audit"]["steps"] == STEPS
    assert audited["lost_packs"] == 0 and audited["attempts"] >= 2  # the last may have no step left
    events = [event["kind"] for event in rows(folder, "events")]
    assert events.count("resumed") == resumed and "recovering" in events


def wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not reached():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            raise AssertionError(process.communicate()[0])
        time.sleep(0.01)
