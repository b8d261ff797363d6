"""What a trial does, really trained: a rest changes no bit; who takes over goes on as the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.encoder.build import build_encoder, save_encoder
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.runs.ledger import read_events
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.finetune import ExampleBatch
from orchestrator.settings.model import Model
from orchestrator.settings.search import Search, SearchKind
from orchestrator.settings.space import Point
from orchestrator.settings.sweep import SweepBudget, SweepJob
from orchestrator.tasks.prepared import open_prepared, prepare_task
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.tuning.alone import AloneAtHand, AloneWork
from orchestrator.tuning.generations import Generations, take_over
from orchestrator.tuning.judge import NUMBER
from orchestrator.tuning.port import Said
from orchestrator.tuning.queue import POINT, UNTIL
from orchestrator.tuning.trials import Book, Fate
from tests.tasks.small import built, plain_task, write_jsonl
from tests.tuning.making import a_book

pytestmark = pytest.mark.slow
WORDS = ("river", "hills", "coast", "islands", "coffee", "timber", "mountains", "people")
EPOCHS = 3
SPACE = {"optim": {"lr": {"log_uniform": [1e-4, 1e-2]}, "weight_decay": {"uniform": [0.0, 0.1]}}}


@pytest.fixture
def job(tmp_path: Path) -> SweepJob:
    lines = [
        {"text": f"the {WORDS[n % 8]} of the {WORDS[n // 8 % 8]}", "label": "ab"[n % 8 % 2]}
        for n in range(48)
    ]
    file = write_jsonl(tmp_path / "train.jsonl", lines)
    data = {"kind": "jsonl", "splits": {"train": {"path": [str(file)]}}, "validation_share": 0.3}
    return SweepJob(
        task=built(plain_task("classification", data=data, max_tokens=16)),
        encoder="made-here",
        space=SPACE,
        batch=ExampleBatch(examples=8, pack_examples=4),
        search=Search(kind=SearchKind.PBT),
        budget=SweepBudget(trials=4, epochs=EPOCHS),
    )


@pytest.fixture
def at_hand(tmp_path: Path, local: LocalStorage, job: SweepJob) -> AloneAtHand:
    folder = tmp_path / "encoder"
    folder.mkdir()
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "of", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(known) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    tokenizer = open_task_tokenizer(folder)
    made = build_encoder(
        Model(layers=1, hidden=16, heads=2, max_positions=32),
        vocab_size=tokenizer.vocab_size,
        pad_id=tokenizer.pad_id,
        heads=WORDS_ONLY,
        seed=3,
    )
    save_encoder(made, folder)
    kept = prepare_task(job.task, tokenizer, local, lambda _: None)
    prepared = open_prepared(local, kept.file)
    return AloneAtHand(
        run=local,
        sweep=job,
        attempt=1,
        num_examples=len(prepared.training.features),
        encoder=folder,
        prepared=prepared,
        device=torch.device("cpu"),
    )


def done(at_hand: AloneAtHand, **config: Any) -> list[Said]:
    """All that is heard of a trial until it rests or ends."""
    work, heard = AloneWork(at_hand, config), []
    while not heard or not heard[-1].end:
        heard.append(work.live.next())
    work.close()
    return heard


def proposed(book: Book, *points: Point) -> None:
    for point in points:
        assert book.make_folder(book.propose(point, seed=1)) == []


def model(run: LocalStorage, number: int) -> bytes:
    return run.read(f"trials/{number:04d}/export/model.safetensors")


def test_a_trial_that_rests_ends_with_the_weights_of_one_that_does_not(
    local: LocalStorage, job: SweepJob, at_hand: AloneAtHand
) -> None:
    point = {"optim.lr": 3e-3, "optim.weight_decay": 0.05}
    with a_book(local, job) as book:
        proposed(book, point, point)
    straight = done(at_hand, **{NUMBER: 0})
    rested: list[Said] = []
    for until in range(1, EPOCHS + 1):
        config = {NUMBER: 1, UNTIL: until, POINT: json.dumps(point)}
        rested += done(at_hand, **config)
        assert rested[-1].end == ("finished" if until == EPOCHS else "rested")
        if until < EPOCHS:  # nobody heard, and it is asked again: nothing is trained
            assert done(at_hand, **config) == rested[-1:]
    assert [(said.epochs, said.value) for said in rested] == [
        (said.epochs, said.value) for said in straight
    ]
    assert model(local, 1) == model(local, 0)


def test_who_takes_over_goes_on_as_the_other_would(
    local: LocalStorage, job: SweepJob, at_hand: AloneAtHand
) -> None:
    good = {"optim.lr": 5e-3, "optim.weight_decay": 0.0}
    bad = {"optim.lr": 1e-4, "optim.weight_decay": 0.1}
    with a_book(local, job) as book:
        proposed(book, good, bad, bad)
    for number, point in enumerate((good, bad, bad)):
        done(at_hand, **{NUMBER: number, UNTIL: 1, POINT: json.dumps(point)})
    for target in (1, 2):
        take_over(local.child("trials/0000"), local.child(f"trials/{target:04d}"), step=5)
    values = [
        done(at_hand, **{NUMBER: number, POINT: json.dumps(point)})[-1].value
        for number, point in enumerate((good, good, bad))
    ]
    assert values[0] == values[1]
    assert model(local, 1) == model(local, 0)
    assert model(local, 2) != model(local, 0)  # other settings, from the same weights on


def test_a_population_comes_to_its_end(
    local: LocalStorage, job: SweepJob, at_hand: AloneAtHand
) -> None:
    with a_book(local, job) as book:
        supply = Generations(book, local, is_loss=False)
        while (trial := supply.next(set())) is not None:
            config = {NUMBER: trial.number, UNTIL: supply.until()}
            for said in done(at_hand, **config, **{POINT: json.dumps(trial.point)}):
                assert said.epochs is not None and said.value is not None
                book.measured(trial.number, said.epochs, said.value)
            if said.end == "finished":
                book.ended(trial.number, Fate.FINISHED, value=said.value)
        assert [trial.fate for trial in book.all()] == [Fate.FINISHED] * 4
        assert book.generations == EPOCHS - 1
        assert {trial.epochs for trial in book.all()} == {float(EPOCHS)}
    events = [event.kind for event in read_events(local)]
    assert events.count("trial_took_over") >= 1
