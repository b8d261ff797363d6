"""Fine-tuning from the command line: three seeds, a worker killed, and the model that is left."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.settings.model import Model
from orchestrator.tasks.tokens import open_task_tokenizer
from tests.e2e.test_pretrain import wait_for
from tests.real import Orchestrate, command, start
from tests.tasks.small import write_jsonl
from tests.training.ranks import rows

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.long]

WORDS = ("river", "hills", "coast", "islands", "coffee", "timber", "mountains", "people")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    folder.mkdir()
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", "and", "so", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(known) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    tokenizer = open_task_tokenizer(folder)
    model = Model(layers=2, hidden=32, heads=2, max_positions=64)
    made = build_encoder(
        model, vocab_size=tokenizer.vocab_size, pad_id=tokenizer.pad_id, heads=WORDS_ONLY, seed=3
    )
    save_encoder(made, folder)
    return folder


def test_seeds_survive_the_death_of_a_worker_and_leave_one_model(
    orchestrate: Orchestrate, environment: dict[str, str], encoder: Path, tmp_path: Path
) -> None:
    lines = [
        {"text": f"the {WORDS[n % 8]} of the {WORDS[n // 8 % 8]}", "label": "ab"[n % 2]}
        for n in range(64)
    ]
    file = write_jsonl(tmp_path / "train.jsonl", lines)
    settings = (
        *("task=own_classes", f"task.data.splits.train.path=[{file}]", "task.data.kind=jsonl"),
        *(f"encoder={encoder}", "num_seeds=2", "cluster.num_workers=2", "optim.lr=0.005"),
        *("batch.examples=8", "batch.pack_examples=4", "budget.epochs=6", "tracking=off"),
        *("recovery.backoff=100ms", "checkpoint.every_steps=4", "name=seeds", "task.max_tokens=16"),
    )
    storage = Path(environment["ORCHESTRATOR_STORAGE"])
    process = start(command("run", "finetune", *settings), environment)
    try:
        wait_for(process, lambda: any(storage.glob("*-seeds-*/trials/0001/checkpoints/*/COMMIT")))
        victim = next(
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "RayTrainWorker" in "".join(child.cmdline())
        )
        victim.send_signal(signal.SIGKILL)
        told, _ = process.communicate(timeout=240)
        assert process.returncode == 0, told
    finally:
        process.kill()
        process.wait()
    (folder,) = storage.glob("*-seeds-*")
    found = json.loads((folder / "result.json").read_text())
    assert found["seeds"] == [1, 2]
    assert (
        found["spread"]["validation"]["accuracy"]["least"]
        <= found["metrics"]["validation"]["accuracy"]
    )
    assert (folder / "export" / "task.json").exists()
    events = [event["kind"] for event in rows(folder, "events")]
    assert "recovering" in events and events.count("scored") == 2
    again = [row for row in rows(folder / "trials" / "0000", "metrics") if row["attempt"] > 1]
    assert not again  # the seed that was done stays done
    audited = json.loads(orchestrate("audit", folder.name, "--json").stdout)
    assert (audited["is_clean"], audited["lessons"], audited["attempts"]) == (True, 2, 2)


def test_a_suite_is_a_run_for_every_task_and_seed_and_one_table(
    orchestrate: Orchestrate, environment: dict[str, str], encoder: Path
) -> None:
    project = Path(environment["PROJECT"])
    lines = [f"the {WORDS[n % 8]},of the {WORDS[n // 8 % 8]},{'ab'[n % 2]}" for n in range(64)]
    (project / "train.csv").write_text("\n".join(["text,pair,label", *lines]) + "\n")
    (project / "conf" / "pipeline").mkdir(parents=True)
    (project / "conf" / "pipeline" / "two.yaml").write_text(
        "steps:\n  first:\n    job: finetune\n    each: {task: [own_classes]}\n"
        "    overrides: [encoder=@encoder]\n  then:\n    job: finetune\n"
        "    each: {task: [own_pairs]}\n    overrides: [encoder=@first]\n"
        "each: {seed: [1, 2]}\nat_once: 2\n"
    )
    words = ["pipeline=two", f"encoder={encoder}", "name=suite", "tracking=off"]
    for step in ("first", "then"):
        words += [f"set.{step}.task.max_tokens=16", f"set.{step}.budget.epochs=2"]
        words += [f"set.{step}.optim.lr=0.005", f"set.{step}.tracking=off"]
    told = orchestrate("run", "pipeline", *words).stdout
    assert "average" in told and "2 of 2 tasks" in told
    (folder,) = (
        one
        for one in Path(environment["ORCHESTRATOR_STORAGE"]).glob("*-suite-*")
        if (one / "children").exists()
    )
    facts = json.loads(orchestrate("status", folder.name, "--json").stdout)
    scores = facts["scores"]
    assert scores == {key: json.loads((folder / "result.json").read_text())[key] for key in scores}
    medians = {task["name"]: task["score"] for task in scores["tasks"]}
    assert set(medians) == {"own_classes", "own_pairs"} and scores["notes"] == []
    assert scores["average"] == pytest.approx(sum(medians.values()) / 2)
    for step in facts["steps"]:
        lineage = json.loads((folder.parent / step["run"] / "lineage.json").read_text())
        source = lineage["encoder"]["uri"]
        seed = step["step"][-1]
        is_then = step["step"].startswith("then")
        assert (f"first-own-classes-{seed}" in source) == is_then, "of the same seed"
        orchestrate("audit", step["run"])
