"""An audit finds whatever was changed of a run: its records, its checkpoints, its corpus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import Orchestrator, Run
from orchestrator.cli.main import run as cli
from orchestrator.corpus.layout import corpus_uri
from orchestrator.errors import RequestError
from orchestrator.planning.audit import audit_run
from orchestrator.planning.pretrain import Surroundings, look_ahead
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.plan import Resources
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.settings.kinds import freeze
from orchestrator.settings.probe import ProbeJob
from tests.planning.small import Training, prepare

pytestmark = pytest.mark.slow

RUN = "20261121-101010-pretrain-aaaa"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven steps on two workers, back to the fifth, and five more on three."""
    root = tmp_path_factory.mktemp("runs")
    storage = open_storage(root / "runs")
    training = Training(storage, prepare(storage.uri, root), RUN)
    training.attempt_from(0, steps=5, world=2)
    training.attempt_from(5, steps=6, world=2, commit=False)
    training.attempt_from(5, steps=5, world=3)
    return root / "runs"


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(clean, tmp_path / "runs")
    return RunFolder(open_storage(tmp_path / "runs"), RUN)


def test_a_run_is_clean_over_rollbacks_and_numbers_of_workers(folder: RunFolder) -> None:
    seen: list[tuple[str, float, float]] = []
    found = audit_run(folder, lambda *told: seen.append(told))
    assert found.problems == () and found.is_clean
    assert found.audit is not None
    assert (found.audit.steps, found.audit.repeated_steps, found.lost_packs) == (10, 5, 0)
    assert (found.attempts, found.worlds, found.checkpoint_step) == (3, (2, 2, 3), 10)
    assert 0 < found.audit.repeated_samples < found.audit.samples
    assert {stage for stage, *_ in seen} == {"corpus", "steps"}
    assert seen[-1] == ("steps", 10, 10)


# ----- what may be changed


def lines_of(folder: RunFolder, attempt: int) -> tuple[str, list[dict[str, Any]]]:
    [entry] = [
        entry
        for entry in folder.storage.list(layout.STEPS)
        if entry.name.startswith(f"{attempt:04d}-")
    ]
    path = f"{layout.STEPS}/{entry.name}"
    return path, [json.loads(line) for line in folder.storage.read(path).splitlines()]


def rewrite(
    folder: RunFolder, attempt: int, change: Callable[[list[dict[str, Any]]], list[Any]]
) -> None:
    path, lines = lines_of(folder, attempt)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in change(lines)]
    folder.storage.write(path, "".join(f"{text}\n" for text in texts).encode())


def without(number: int) -> Callable[[RunFolder], None]:
    return lambda folder: rewrite(folder, 3, lambda lines: [*lines[:number], *lines[number:][1:]])


def with_field(number: int, **fields: Any) -> Callable[[RunFolder], None]:
    def change(lines: list[dict[str, Any]]) -> list[Any]:
        return [*lines[:number], lines[number] | fields, *lines[number + 1 :]]

    return lambda folder: rewrite(folder, 3, change)


def moved_end(folder: RunFolder) -> None:
    """The last step gives a pack back, and says so everywhere but in the checkpoint."""

    def change(lines: list[dict[str, Any]]) -> list[Any]:
        *others, last = lines
        end = last["end"] | {name: last["end"][name] - 1 for name in ("pack", "packs_total")}
        return [*others, last | {"end": end, "num_packs": last["num_packs"] - 1}]

    rewrite(folder, 3, change)


def corpus_of(folder: RunFolder) -> LocalStorage:
    job = folder.job()
    corpus = open_storage(corpus_uri(folder.parent.uri, job.corpus))  # type: ignore[attr-defined]
    assert isinstance(corpus, LocalStorage)
    return corpus


def shard_of(folder: RunFolder) -> Path:
    return min(corpus_of(folder).path("train").iterdir())


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def other_text(folder: RunFolder) -> None:
    """A whole corpus, with all its checksums, of other text."""
    corpus = corpus_of(folder)
    job = prepare(str(corpus.path() / "other"), corpus.path().parent, documents=140)
    other = open_storage(corpus_uri(str(corpus.path() / "other"), job.corpus))
    assert isinstance(other, LocalStorage)
    moved = corpus.path().with_name("moved")
    shutil.copytree(other.path(), moved)
    shutil.rmtree(corpus.path())
    moved.rename(corpus.path())


def commit_of(folder: RunFolder, step: int) -> Path:
    assert isinstance(folder.storage, LocalStorage)
    return folder.storage.path(f"{layout.checkpoint(step)}/{layout.COMMIT}")


def other_commit(folder: RunFolder) -> None:
    """With a checksum of its own, and the cursor of another step."""
    commit = Checkpoints(folder.storage).read(10)
    cursor = Checkpoints(folder.storage).read(5).facts["standing"]["cursor"]
    standing = commit.facts["standing"] | {"cursor": cursor}
    changed = replace(commit, facts=commit.facts | {"standing": standing})
    commit_of(folder, 10).write_bytes(changed.to_json())


def fewer_tokens(folder: RunFolder) -> None:
    commit = Checkpoints(folder.storage).read(10)
    standing = commit.facts["standing"] | {"tokens": 17}
    changed = replace(commit, facts=commit.facts | {"standing": standing})
    commit_of(folder, 10).write_bytes(changed.to_json())


TAMPERINGS: dict[str, tuple[Callable[[RunFolder], Any], str]] = {
    "a hash": (with_field(2, fed_hash="0123456789abcdef"), "fed what adds up to 0123456789abcdef"),
    "a record is gone": (without(2), "is recorded where step 8 is due"),
    "the last record is gone": (without(4), "checkpoint of step 10, and no record of that step"),
    "a record twice": (
        lambda folder: rewrite(folder, 3, lambda all_: [*all_, all_[-1]]),
        "step 11 is due",
    ),
    "a step's number": (with_field(1, step=70), "where step 7 is due"),
    "an attempt's number": (with_field(1, attempt=1), "is recorded"),
    "a cursor": (
        with_field(0, begin={"epoch": 0, "window": 0, "pack": 3, "packs_total": 3}),
        "step 5 of attempt 1 ended at",
    ),
    "an end": (moved_end, "has 3 packs; by the settings of the run it has 4"),
    "no JSON": (
        lambda folder: rewrite(folder, 3, lambda all_: [*all_[:2], "{", *all_[3:]]),
        "is no record",
    ),
    "no number": (with_field(2, num_packs="four"), "is no record of a step"),
    "records of an attempt": (lambda folder: rewrite(folder, 1, lambda all_: []), "step 1 is due"),
    "a shard's byte": (lambda folder: flip(shard_of(folder)), "is damaged: batch"),
    "a shard": (lambda folder: shard_of(folder).unlink(), "is missing"),
    "a shard's end": (lambda folder: shard_of(folder).write_bytes(b"short"), "has 5 bytes, not"),
    "the manifest": (lambda folder: flip(corpus_of(folder).path("manifest.json")), "is damaged"),
    "the corpus": (other_text, "has another manifest"),
    "the tokenizer": (
        lambda folder: flip(corpus_of(folder).path("tokenizer/tokenizer.json")),
        "/tokenizer ",
    ),
    "a COMMIT's byte": (lambda folder: flip(commit_of(folder, 10)), "The COMMIT of step 10"),
    "a COMMIT's cursor": (other_commit, "The checkpoint of step 10 stands at"),
    "a COMMIT's tokens": (fewer_tokens, "counts 17 tokens"),
    "a checkpoint": (
        lambda folder: shutil.rmtree(commit_of(folder, 10).parent),
        "The ledger tells of a checkpoint of step 10",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_whatever_is_changed_is_found_and_named(folder: RunFolder, name: str) -> None:
    tamper, said = TAMPERINGS[name]
    tamper(folder)
    found = audit_run(folder)
    assert not found.is_clean
    assert said in "\n".join(found.problems), found.problems


def test_what_no_record_tells_of_is_counted_as_lost(folder: RunFolder) -> None:
    without(2)(folder)
    assert audit_run(folder).lost_packs == 4
    without(3)(folder)  # which is the last now: only the checkpoint knows of it
    assert audit_run(folder).lost_packs == 8


def test_an_attempt_that_ended_before_its_checkpoint_leaves_a_clean_run(folder: RunFolder) -> None:
    """Killed in the middle of a line: what is not whole was never recorded."""
    assert isinstance(folder.storage, LocalStorage)
    path, _ = lines_of(folder, 3)
    shutil.rmtree(commit_of(folder, 10).parent)
    for file in folder.storage.path(layout.EVENTS).iterdir():
        kept = [line for line in file.read_text().splitlines(True) if '"step": 10' not in line]
        file.write_text("".join(kept))
    data = folder.storage.read(path)
    folder.storage.write(path, data[:-20])
    found = audit_run(folder)
    assert found.problems == () and found.audit is not None
    assert (found.audit.steps, found.checkpoint_step) == (9, 5)


def test_a_run_on_an_object_store_is_planned_and_audited_as_on_a_disk(
    s3_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_HOME", str(tmp_path / "home"))
    job = prepare(s3_uri, tmp_path)
    storage = open_storage(s3_uri)
    copy = Path(corpus_uri(str(tmp_path / "runs"), job.corpus))
    prepare(str(tmp_path / "runs"), tmp_path)
    has = {"CPU": 4.0, "memory": 2.0**36}
    around = Surroundings(storage=storage, resources=Resources(asked={}, place="here", has=has))
    outlook = look_ahead(job, around)
    assert not outlook.findings and outlook.derived["parameters"] > 0
    training = Training(storage, job, RUN, copy=copy)
    training.attempt_from(0, steps=3, world=2)
    found = audit_run(training.folder)
    assert found.problems == () and found.audit is not None and found.audit.steps == 3
    corpus = open_storage(corpus_uri(s3_uri, job.corpus))
    [shard] = corpus.list("train")
    data = bytearray(corpus.read(f"train/{shard.name}"))
    data[len(data) // 2] ^= 1
    corpus.write(f"train/{shard.name}", bytes(data))
    assert "is damaged: batch" in "\n".join(audit_run(training.folder).problems)


def test_runs_without_steps_are_refused_in_words(folder: RunFolder) -> None:
    other = RunFolder(folder.parent, "20261121-101010-probe-bbbb")
    other.storage.write(layout.JOB, freeze(ProbeJob()).encode())
    with pytest.raises(RequestError, match="is a run of kind probe"):
        audit_run(other)
    fresh = RunFolder(folder.parent, "20261121-101010-pretrain-cccc")
    fresh.storage.write(layout.JOB, freeze(folder.job()).encode())
    with pytest.raises(RequestError, match="has trained no step yet"):
        audit_run(fresh)


def test_the_verb_exits_with_1_and_says_what_is_wrong(
    folder: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["audit", RUN, "--storage", folder.parent.uri]
    assert cli(words) == 0
    shown = capfd.readouterr().out
    assert "10 in 3 attempts, on 2, 2, 3 workers" in shown and "clean" in shown
    assert isinstance(Orchestrator(folder.parent.uri).find(RUN), Run)
    with_field(2, fed_hash="0123456789abcdef")(folder)
    assert cli(words) == 1
    shown, errors = capfd.readouterr()
    assert "wrong: Step 8 of attempt 3 fed" in shown and "Traceback" not in shown + errors
    assert cli([*words, "--json"]) == 1
    answer = json.loads(capfd.readouterr().out)
    assert (answer["schema"], answer["is_clean"]) == ("orchestrator.audit/1", False)
    assert answer["audit"]["steps"] == 10 and len(answer["problems"]) == 1
