"""An audit of a fine-tune: each seed read its examples in their order, and tampering is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.main import run as cli
from orchestrator.corpus.packs.audit import StepRecord
from orchestrator.errors import RequestError
from orchestrator.planning.audit import audit_run
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.restore import COMMITTED
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.result import write_result
from orchestrator.runs.steps import StepWriter
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.finetune import ExampleBatch, FinetuneJob
from orchestrator.settings.kinds import freeze
from orchestrator.tasks.prepared import PREPARED, open_prepared, prepare_task
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.training.batches import Batches, share_of
from orchestrator.training.standing import Standing
from tests.runs.checkpoints.making import make as make_checkpoint
from tests.runs.checkpoints.making import tell
from tests.tasks.encoders import WORDS, an_encoder
from tests.tasks.small import built, plain_task, write_jsonl

pytestmark = pytest.mark.slow

RUN = "20261121-101010-finetune-aaaa"
BATCH = ExampleBatch(examples=8, pack_examples=3)
STEPS = 9  # two epochs of 36 examples, the last step of each with four


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds; the first on two workers, back to its third step and on with three."""
    root = tmp_path_factory.mktemp("tuned")
    lines = [
        {"text": f"the {WORDS[n % 9]}" + " and so" * (n % 4), "label": "ab"[n % 2]}
        for n in range(40)
    ]
    splits = {"train": {"path": [write_jsonl(root / "rows.jsonl", lines)]}}
    task = built(plain_task("classification", data={"kind": "jsonl", "splits": splits}))
    encoder = an_encoder(root / "encoder")
    job = FinetuneJob(task=task, encoder=str(encoder), num_seeds=2, batch=BATCH)
    run = RunFolder(open_storage(root / "runs"), RUN)
    run.storage.write(layout.JOB, freeze(job).encode())
    kept = prepare_task(task, open_task_tokenizer(encoder), run.parent, lambda _: None)
    for attempt, workers in ((1, 2), (2, 3)):
        tell(run.storage, PREPARED, attempt=attempt, **asdict(kept))
        tell(run.storage, "running", attempt=attempt, workers=workers)
    features = open_prepared(run.parent, kept.file).training.features
    assert len(features) == kept.examples == 36
    for seed in (1, 2):
        batches = Batches(tokens_E=features.tokens_E, batch=BATCH, seed=seed)
        folder = run.storage.child(layout.trial(seed - 1))
        if seed == 1:
            standing = record(folder, batches, Standing(), steps=3, attempt=1, world=2)
            make_checkpoint(folder, 3, attempt=1, standing=standing.to_plain())
            record(folder, batches, standing, steps=2, attempt=1, world=2)
            standing = record(folder, batches, standing, steps=STEPS - 3, attempt=2, world=3)
        else:
            standing = record(folder, batches, Standing(), steps=STEPS, attempt=2, world=3)
        make_checkpoint(folder, STEPS, attempt=2, standing=standing.to_plain())
        write_result(folder, {"steps": STEPS})
        tell(run.storage, COMMITTED, attempt=2, step=STEPS, inside=layout.trial(seed - 1))
    tell(run.storage, COMMITTED, attempt=2, step=12, inside=layout.trial(2))  # no seed's of these
    write_result(run.storage, {"steps": STEPS, "best_seed": 2})
    return root / "runs"


def record(
    run: Storage, batches: Batches, standing: Standing, *, steps: int, attempt: int, world: int
) -> Standing:
    """As the ranks of a group would, without a model."""
    with closing(StepWriter(run, attempt=attempt)) as writer:
        for _ in range(steps):
            begin = standing.cursor
            packs, end = batches.step(begin)
            fed = sum(
                batches.fed_hash(begin.epoch, chosen)
                for rank in range(world)
                for _, chosen, counts in share_of(packs, world=world, rank=rank)
                if counts
            )
            tokens = sum(int(batches.tokens_E[chosen].sum()) for chosen in packs)
            standing = replace(
                standing, step=standing.step + 1, cursor=end, tokens=standing.tokens + tokens
            )
            line = StepRecord(
                step=standing.step,
                attempt=attempt,
                begin=begin,
                end=end,
                num_packs=end.packs_total - begin.packs_total,
                fed_hash=fed % 2**64,
            )
            writer.write(line.to_plain())
    return standing


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(clean, tmp_path / "runs")
    return RunFolder(open_storage(tmp_path / "runs"), RUN)


def test_every_seed_is_clean_over_attempts_and_worlds(folder: RunFolder) -> None:
    found = audit_run(folder)
    assert found.problems == () and found.audit is not None
    assert (found.lessons, found.attempts, found.worlds, found.unit) == (2, 2, (2, 3), "examples")
    assert (found.audit.steps, found.audit.samples) == (2 * STEPS, 2 * (36 + 32))
    assert (found.audit.repeated_steps, found.lost_packs) == (2, 0)


def change(seed: int, attempt: int, number: int, **fields: Any) -> Callable[[RunFolder], None]:
    """A line of a seed's records; without fields it is taken out."""

    def tamper(folder: RunFolder) -> None:
        run = folder.storage.child(layout.trial(seed - 1))
        (entry,) = [e for e in run.list(layout.STEPS) if e.name.startswith(f"{attempt:04d}-")]
        path = f"{layout.STEPS}/{entry.name}"
        lines = [json.loads(line) for line in run.read(path).splitlines()]
        lines[number : number + 1] = [lines[number] | fields] if fields else []
        run.write(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())

    return tamper


def path_of(folder: RunFolder, name: str) -> Path:
    assert isinstance(folder.parent, LocalStorage)
    return folder.parent.path(name)


def other_examples(folder: RunFolder) -> None:
    """Whole, with its own checksum, and of other text."""
    lines = [{"text": f"the river {n}", "label": "ab"[n % 2]} for n in range(40)]
    file = write_jsonl(path_of(folder, "other.jsonl"), lines)
    job = folder.job()
    assert isinstance(job, FinetuneJob)
    splits = {"train": {"path": [file]}}
    task = built(plain_task("classification", data={"kind": "jsonl", "splits": splits}))
    elsewhere = open_storage(path_of(folder, "elsewhere"))
    kept = prepare_task(task, open_task_tokenizer(job.encoder), elsewhere, lambda _: None)
    (own,) = path_of(folder, "tasks").iterdir()
    own.write_bytes(elsewhere.read(kept.file))


def flip(folder: RunFolder) -> None:
    (own,) = path_of(folder, "tasks").iterdir()
    data = bytearray(own.read_bytes())
    data[len(data) // 2] ^= 1
    own.write_bytes(data)


def at(examples: int) -> dict[str, int]:
    return {"epoch": 0, "window": 0, "pack": examples, "packs_total": examples}


TAMPERINGS: dict[str, tuple[Callable[[RunFolder], Any], str]] = {
    "a hash": (change(2, 2, 4, fed_hash="0123456789abcdef"), "seed 2: Step 5 of attempt 2 fed"),
    "a record is gone": (change(1, 2, 2), "seed 1: Step 7 of attempt 2 is recorded where step 6"),
    "the last record": (change(2, 2, STEPS - 1), "checkpoint of step 9, and no record"),
    "how many": (change(1, 1, 0, num_packs=7), "has 7 examples; by the settings of the run it"),
    "a cursor beyond": (
        change(2, 2, 0, begin=at(99), end=at(107)),
        "There are 36 examples in an epoch",
    ),
    "the result": (
        lambda folder: write_result(folder.storage.child(layout.trial(0)), {"steps": 4}),
        "seed 1: result.json tells of 4 steps; 9 count.",
    ),
    "a seed": (
        lambda folder: folder.storage.child(layout.trial(1)).remove(""),
        "2 seeds are said to be done; 1 have steps.",
    ),
    "a checkpoint": (
        lambda folder: folder.storage.child(layout.trial(1)).remove("checkpoints"),
        "seed 2: The ledger tells of a checkpoint of step 9",
    ),
    "other examples": (other_examples, "; the run read "),
    "a byte of the examples": (flip, "is damaged"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_whatever_is_changed_is_found_with_its_seed(folder: RunFolder, name: str) -> None:
    tamper, said = TAMPERINGS[name]
    tamper(folder)
    found = audit_run(folder)
    assert not found.is_clean and said in "\n".join(found.problems), found.problems


def test_what_a_checkpoint_counts_must_be_the_examples_tokens(folder: RunFolder) -> None:
    run = folder.storage.child(layout.trial(1))
    (commit,) = path_of(folder, f"{RUN}/{layout.trial(1)}").glob("checkpoints/*/COMMIT")
    assert audit_run(folder).is_clean
    standing = Standing.from_plain(json.loads(commit.read_bytes())["facts"]["standing"])
    run.remove("checkpoints")
    changed = replace(standing, tokens=17).to_plain()
    make_checkpoint(run, STEPS, attempt=2, standing=changed)
    assert "seed 2: The checkpoint of step 9 counts 17 tokens" in audit_run(folder).problems[0]


def test_the_verb_says_it_of_all_seeds(
    folder: RunFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(["audit", RUN, "--storage", folder.parent.uri]) == 0
    shown = capfd.readouterr().out
    assert "18 in 2 attempts, on 2, 3 workers" in shown and "2, each by itself" in shown


def test_a_run_that_has_read_nothing_is_refused_in_words(folder: RunFolder) -> None:
    fresh = RunFolder(folder.parent, "20261121-101010-finetune-bbbb")
    fresh.storage.write(layout.JOB, freeze(folder.job()).encode())
    with pytest.raises(RequestError, match="has read no examples yet"):
        audit_run(fresh)
