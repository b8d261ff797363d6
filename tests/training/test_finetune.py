"""Fine-tuning on plain ranks: it learns, a kill changes nothing, and no division does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from orchestrator.corpus.packs.order import Order
from orchestrator.corpus.packs.stream import Cursor
from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.errors import StorageError
from orchestrator.planning.audit import audit_run
from orchestrator.planning.audited import RunAudit
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.ledger import Ledger
from orchestrator.runs.samples import read_samples
from orchestrator.runs.storage import open_storage
from orchestrator.settings.checkpoint import Checkpoint
from orchestrator.settings.cluster import Cluster
from orchestrator.settings.finetune import EpochBudget, ExampleBatch, FinetuneJob, TaskEvaluation
from orchestrator.settings.model import Model
from orchestrator.settings.optim import Optim
from orchestrator.settings.schedule import Schedule
from orchestrator.settings.transfer import ClassWeights, Reading, Transfer, Way
from orchestrator.settings.zero import Zero
from orchestrator.tasks.directory import open_task_directory
from orchestrator.tasks.metrics.metric import measure, outcome_of
from orchestrator.tasks.packed import pack
from orchestrator.tasks.predict import predict
from orchestrator.tasks.prepared import PREPARED, open_prepared, prepare_task
from orchestrator.tasks.read import fingerprint_of
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.training.batches import Batches, share_of
from orchestrator.training.finetune import TaskStart, finetune, make_model
from orchestrator.training.loop import Ending
from orchestrator.training.passes import Finetuning, TaskBatch, Weighing
from tests.tasks.small import built, plain_task, write_jsonl
from tests.training.ranks import rows, run, run_until, write_run

pytestmark = pytest.mark.slow

Given = Callable[..., Path]
Ground = tuple[FinetuneJob, dict[str, str]]
WORDS = ("river", "hills", "coast", "islands", "coffee", "timber", "mountains", "people")


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """Which of eight words is in a sentence decides; with dropout, decay and a rising rate."""
    folder = tmp_path_factory.mktemp("finetune")
    lines = [
        {
            "text": f"the {WORDS[n % 8]} of the {WORDS[n // 8 % 8]}" + " and so" * (n % 5),
            "label": "ab"[n % 8 % 2],
        }
        for n in range(90)
    ]
    file = write_jsonl(folder / "train.jsonl", lines)
    task = built(
        plain_task(
            "classification",
            data={
                "kind": "jsonl",
                "splits": {"train": {"path": [file]}},
                "validation_share": 0.25,
                "test_share": 0.2,
            },
        )
    )
    encoder = folder / "encoder"
    encoder.mkdir()
    _write_words(encoder)
    tokenizer = open_task_tokenizer(encoder)
    model = Model(layers=4, hidden=32, heads=2, max_positions=64, initializer_range=0.2)
    made = build_encoder(
        model, vocab_size=tokenizer.vocab_size, pad_id=tokenizer.pad_id, heads=WORDS_ONLY, seed=3
    )
    save_encoder(made, encoder)
    prepared = prepare_task(task, tokenizer, open_storage(folder), lambda _: None).file
    job = FinetuneJob(
        task=task,
        encoder=str(encoder),
        optim=Optim(lr=5e-3),
        schedule=Schedule(warmup=4),
        batch=ExampleBatch(examples=12, pack_examples=4),
        budget=EpochBudget(epochs=4),
        checkpoint=Checkpoint(every_steps=5, every=None, keep_last=1, keep_best=1),
        cluster=Cluster(num_workers=1),
    )
    return job, {"encoder": str(encoder), "prepared": prepared, "storage": str(folder)}


def _write_words(folder: Path) -> None:
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "and", "so", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(known) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')


@pytest.fixture
def a_run(ground: Ground, tmp_path: Path) -> Given:
    job, given = ground

    def write(name: str, **nouns: Any) -> Path:
        return write_run(tmp_path / name, replace(job, **nouns), given)

    return write


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def audited(folder: Path, ground: Ground) -> RunAudit:
    """As the driver of a run leaves it: with the event that says what was prepared."""
    _, given = ground
    (folder.parent / "tasks").mkdir()
    shutil.copy(Path(given["storage"]) / given["prepared"], folder.parent / given["prepared"])
    examples = open_prepared(open_storage(folder.parent), given["prepared"]).training.examples
    facts = {"file": given["prepared"], "examples": len(examples)}
    ledger = Ledger(open_storage(folder), attempt=1, writer="attempt")
    ledger.record(PREPARED, fingerprint=fingerprint_of(examples), **facts)
    return audit_run(RunFolder(open_storage(folder.parent), folder.name))


@pytest.mark.processes
def test_a_task_is_learnt_and_left_as_a_directory(a_run: Given) -> None:
    folder = a_run("whole", budget=EpochBudget(epochs=16))
    run(folder, world=1)
    found = result(folder)
    assert found["metrics"]["validation"]["accuracy"] > 0.9
    assert found["metrics"]["test"]["accuracy"] > 0.8
    assert (folder / "export" / "task.json").exists()
    values = [row["values"] for row in rows(folder, "metrics")]
    losses = [each["train/loss"] for each in values if "train/loss" in each]
    assert losses[-1] < losses[0] / 2


@pytest.mark.processes
@pytest.mark.faults
def test_a_killed_finetune_ends_with_the_same_weights(a_run: Given, ground: Ground) -> None:
    straight, killed = a_run("straight"), a_run("killed")
    run(straight, world=1)
    run_until(killed, lambda: any((killed / "checkpoints").glob("*/COMMIT")), world=1, attempt=1)
    run(killed, world=1, attempt=2)
    assert _weights(straight) == _weights(killed)
    assert result(straight)["metrics"] == result(killed)["metrics"]
    found = audited(killed, ground)
    assert found.problems == () and found.audit is not None
    assert found.attempts == 2 and found.audit.steps == result(killed)["steps"]


@pytest.mark.processes
@pytest.mark.faults
@pytest.mark.long
def test_the_best_is_gone_back_to_whatever_number_of_workers_wrote_it(a_run: Given) -> None:
    """Nothing is learnt, so the first measurement is the best; it is two workers', others one's."""
    nouns: dict[str, Any] = {
        "optim": Optim(lr=1e-12),
        "zero": Zero(stage=1),
        "cluster": Cluster(num_workers=2, min_workers=1),
        "checkpoint": Checkpoint(every_steps=50, every=None, keep_last=1, keep_best=0),
    }
    folder = a_run("shrunk", **nouns)
    best = folder / "checkpoints" / "step-000005" / "COMMIT"
    run_until(folder, best.exists, world=2, attempt=1)
    run(folder, world=1, attempt=2)
    assert result(folder)["best_step"] == 5 and best.exists()
    straight = a_run("straight", **nouns)
    run(straight, world=2)
    assert result(straight)["metrics"] == result(folder)["metrics"]
    # Whatever had been measured before in the same process: dropout is the step's.
    assert _losses(folder) == pytest.approx(_losses(straight), rel=1e-5)


@pytest.mark.parametrize("way", list(Way))
def test_what_is_not_trained_stays(ground: Ground, tmp_path: Path, way: Way) -> None:
    job, given = ground
    job = replace(
        job,
        transfer=Transfer(way=way, layers=1, layer_decay=0.9 if way is Way.FULL else 1.0),
        budget=EpochBudget(epochs=1),
    )
    before = load_file(Path(given["encoder"]) / "model.safetensors")
    train_alone(job, given, tmp_path)
    after = load_file(tmp_path / "export" / "model.safetensors")
    changed = {
        name for name, weight in after.items() if name in before and not weight.equal(before[name])
    }
    layers = {int(name.split("layer.")[1].split(".")[0]) for name in changed if "layer." in name}
    if way is Way.FULL:
        assert layers == {0, 1, 2, 3} and any("embeddings" in name for name in changed)
    elif way is Way.FROZEN:
        assert not changed
    elif way is Way.LAST:
        assert layers == {3} and not any("embeddings" in name for name in changed)
    else:
        assert layers == {0, 1, 2, 3}
        assert all("query.weight" in name or "value.weight" in name for name in changed)


@pytest.mark.parametrize("reading", list(Reading))
def test_a_head_reads_one_layer_or_four(ground: Ground, tmp_path: Path, reading: Reading) -> None:
    job, given = ground
    transfer = Transfer(
        way=Way.FROZEN,
        reading=reading,
        label_smoothing=0.1,
        class_weights=ClassWeights.BALANCED,
    )
    ending = train_alone(replace(job, transfer=transfer), given, tmp_path)
    assert ending.step == 20
    opened = open_task_directory(tmp_path / "export")
    assert opened.model.reading is reading
    portion = open_prepared(open_storage(given["storage"]), given["prepared"]).splits["test"]
    predictions = predict(
        opened.model, portion.features, portion.examples, opened.labels, opened.task
    )
    outcome = outcome_of(portion.examples, predictions, opened.labels)
    told = result(tmp_path)["metrics"]["test"]
    assert measure(opened.task, outcome) == pytest.approx(
        {name: told[name] for name in ("accuracy", "macro_f1")}
    )


def test_training_ends_when_it_gets_no_better(ground: Ground, tmp_path: Path) -> None:
    job, given = ground
    job = replace(
        job,
        optim=Optim(lr=1e-12),
        evaluation=TaskEvaluation(every_epochs=1, patience=2),
        budget=EpochBudget(epochs=50),
    )
    ending = train_alone(job, given, tmp_path)
    assert ending.step == 3 * 5  # the first is the best, and two after it are no better
    assert result(tmp_path)["best_step"] == 5
    told = read_samples(open_storage(tmp_path))
    assert (told["step"], len(told["samples"])) == (15, 8)
    for sample in told["samples"]:
        assert {sample["label"], sample["answer"]} <= {"a", "b"}
        assert sample["texts"] and 0.5 <= sample["confidence"] <= 1


def test_a_trial_ends_with_its_model_and_without_a_last_checkpoint(
    ground: Ground, tmp_path: Path
) -> None:
    job, given = ground
    steps = {}
    for name, ends_saved in (("run", True), ("trial", False)):
        assert train_alone(job, given, tmp_path / name, ends_saved=ends_saved).step == 20
        steps[name] = Checkpoints(open_storage(tmp_path / name)).steps()
    assert steps["run"][-1] == 20
    assert steps["trial"][-1] < 20
    assert result(tmp_path / "run")["metrics"] == result(tmp_path / "trial")["metrics"]
    assert _weights(tmp_path / "run") == _weights(tmp_path / "trial")


def test_a_model_that_cannot_be_written_costs_no_step(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise StorageError("no space left on device")

    job, given = ground
    monkeypatch.setattr("orchestrator.training.finetune.copy_directory", full)
    with pytest.raises(StorageError, match="no space"):
        train_alone(job, given, tmp_path)
    assert Checkpoints(open_storage(tmp_path)).steps()[-1] == 20


@pytest.mark.parametrize("world", [2, 3])
def test_every_division_of_a_step_has_the_same_gradient(ground: Ground, world: int) -> None:
    job, given = ground
    prepared = open_prepared(open_storage(given["storage"]), given["prepared"])
    start = TaskStart(encoder=Path(given["encoder"]), prepared=prepared)
    module = Finetuning(make_model(job, start), seed=job.seed)
    features = prepared.training.features
    batches = Batches(tokens_E=features.tokens_E, batch=job.batch, seed=job.seed)
    packs, _ = batches.step(Cursor())
    assert sorted(np.concatenate(packs).tolist()) == sorted(
        Order(count=len(features), seed=job.seed, epoch=0).between(0, 12).tolist()
    )

    def gradient(world: int) -> torch.Tensor:
        module.zero_grad()
        for rank in range(world):
            for number, chosen, counts in share_of(packs, world=world, rank=rank):
                batch = TaskBatch(pack=pack(features, chosen), index=number, counts=counts)
                loss, _ = module(batch, Weighing(step=3, counts=(12,)))
                loss.backward()
        return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])

    whole = gradient(1)
    assert (gradient(world) - whole).norm() <= 1e-6 * whole.norm()


def test_an_epoch_reads_every_example_once(ground: Ground) -> None:
    batches = Batches(
        tokens_E=np.arange(1, 24), batch=ExampleBatch(examples=5, pack_examples=2), seed=1
    )
    cursor, seen = Cursor(), []
    while cursor.epoch == 0:
        packs, cursor = batches.step(cursor)
        assert all(len(chosen) <= 2 for chosen in packs)
        seen += np.concatenate(packs).tolist()
    assert sorted(seen) == list(range(23))
    assert cursor.packs_total == 23


class Alone:
    """The port of one worker, in the test's own process."""

    rank, world, attempt, control = 0, 1, 1, None
    device = torch.device("cpu")

    def __init__(self, folder: Path) -> None:
        self.run = open_storage(folder)
        self.notes: list[str] = []

    def stop_reason(self) -> str | None:
        return None

    def show(self, *_: Any, **__: Any) -> None: ...
    def beat(self, step: int) -> None: ...
    def measured(self, *_: Any) -> None: ...

    def note(self, kind: str, **_: Any) -> None:
        self.notes.append(kind)


def train_alone(
    job: FinetuneJob, given: dict[str, str], folder: Path, *, ends_saved: bool = True
) -> Ending:
    prepared = open_prepared(open_storage(given["storage"]), given["prepared"])
    encoder = Path(given["encoder"])
    start = TaskStart(encoder=encoder, prepared=prepared, ends_saved=ends_saved)
    return finetune(Alone(folder), job, start)


def _weights(folder: Path) -> dict[str, bytes]:
    weights = load_file(folder / "export" / "model.safetensors")
    return {name: each.numpy().tobytes() for name, each in weights.items()}


def _losses(folder: Path) -> dict[int, float]:
    values = {row["step"]: row["values"].get("train/loss") for row in rows(folder, "metrics")}
    return {step: loss for step, loss in values.items() if loss is not None}
