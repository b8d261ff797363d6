"""A corpus from the command line to its last byte, with a real Ray, undisturbed and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from orchestrator.corpus import layout
from tests.conftest import Disks
from tests.corpus.making import a_corpus, a_document, bytes_of, make, text_of
from tests.real import Orchestrate, command

pytestmark = pytest.mark.ray

DOCUMENTS = [a_document(number) for number in range(400)]
SETTINGS = (
    "corpus=text",
    "corpus.sources.text.layout=blocks",
    "corpus.sources.text.sentences=lines",
    "corpus.tokenizer.vocab_size=300",
    "corpus.validation_share=0.2",
    "corpus.part_bytes=2kB",
    "cluster.num_workers=2",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("text") / "text.txt"
    file.write_text(text_of(DOCUMENTS))
    return file


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same corpus by one process without Ray: what any number of workers must equal."""
    target = tmp_path_factory.mktemp("undisturbed") / "corpus"
    make(a_corpus(source, name="text", part_bytes=2000), str(target))
    return target


@pytest.mark.long
def test_two_workers_make_what_one_process_makes(
    orchestrate: Orchestrate, source: Path, undisturbed: Path, tmp_path: Path
) -> None:
    target = tmp_path / "corpus"
    given = (*SETTINGS, f"corpus.sources.text.path=[{source}]", f"corpus.path={target}")
    told = orchestrate("run", "prepare", *given).stdout
    assert "tokens in a document" in told and str(target) in told
    assert bytes_of(target) == bytes_of(undisturbed)


@pytest.mark.faults
def test_a_killed_prepare_is_gone_on_with_and_ends_with_the_same_bytes(
    orchestrate: Orchestrate,
    environment: dict[str, str],
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
) -> None:
    target = tmp_path / "corpus"
    given = (*SETTINGS, f"corpus.sources.text.path=[{source}]", f"corpus.path={target}")
    process = subprocess.Popen(
        command("run", "prepare", *given, "name=cut"),
        cwd=environment["PROJECT"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (target / layout.part_record(2)).exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.name for path in (target / layout.PARTS).iterdir()}
    assert not (target / layout.MANIFEST).exists(), "it was killed too late to show anything"
    wait_for_no_driver(orchestrate, "cut")
    told = orchestrate("resume", "cut").stdout
    assert "parts are done already" in told and len(done) > 2
    assert bytes_of(target) == bytes_of(undisturbed), "nor is anything of the dead writer left"
    look_at(orchestrate, target)


def look_at(orchestrate: Orchestrate, target: Path) -> None:
    """What the verbs say of it, whole and damaged."""
    shown = json.loads(orchestrate("corpus", "show", str(target), "--json").stdout)
    assert sum(one["statistics"]["documents"] for one in shown["splits"].values()) == 400
    assert "whole" in orchestrate("corpus", "verify", str(target)).stdout
    sampled = orchestrate("corpus", "sample", str(target), "-n", "2").stdout
    assert "[CLS]" in sampled and "→[MASK]" in sampled
    (file, *_) = (target / "train").iterdir()
    file.write_bytes(file.read_bytes()[:-20] + b"\0" + file.read_bytes()[-19:])
    assert file.name in orchestrate("corpus", "verify", str(target), code=1).stderr


@pytest.mark.long
def test_a_disk_that_fills_up_is_told_and_resume_completes_the_corpus(
    orchestrate: Orchestrate, source: Path, undisturbed: Path, disks: Disks
) -> None:
    disk = disks.mount("size=400k")
    target = disk / "corpus"
    given = (*SETTINGS, f"corpus.sources.text.path=[{source}]", f"corpus.path={target}")
    once = "recovery.storage=0"
    told = orchestrate("run", "prepare", *given, "name=full", once, code=1).stdout
    assert "no space left" in told and str(disk) in told
    disks.remount(disk, "size=40m")
    orchestrate("resume", "full")
    assert bytes_of(target) == bytes_of(undisturbed)


def wait_for_no_driver(orchestrate: Orchestrate, run: str) -> None:
    deadline = time.monotonic() + 60
    while json.loads(orchestrate("status", run, "--json").stdout)["state"] != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_mistakes_about_a_corpus_are_told_before_anything_starts(
    orchestrate: Orchestrate, tmp_path: Path
) -> None:
    missing = orchestrate("run", "prepare", "corpus=text", code=2).stderr  # no *.txt is there
    assert "corpus.sources.text.path" in missing
    nothing = f"corpus.sources.text.path=[{tmp_path}/*.txt]"
    assert "corpus.sources.text.path" in orchestrate(
        "plan", "prepare", "corpus=text", nothing, code=2
    ).stderr  # fmt: skip
    typo = orchestrate("plan", "prepare", "corpus.sources.factbook.wieght=2", code=2).stderr
    assert "weight" in typo
    assert "no prepared corpus" in orchestrate("corpus", "show", str(tmp_path), code=6).stderr
