"""A run whose folder is on an object store: killed, and gone on with by fewer workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.ledger import read_events
from orchestrator.runs.steps import read_steps
from orchestrator.runs.storage import open_storage
from orchestrator.settings.pretrain import PretrainJob
from tests.training.ranks import run, run_until, write_run

pytestmark = [pytest.mark.processes, pytest.mark.long]

STEPS = 20


def test_a_run_on_an_object_store_is_killed_and_goes_on_with_fewer_workers(
    prepared: tuple[PretrainJob, str], s3_uri: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    folder = write_run(tmp_path / "run", *prepared, environment)
    path, mark, options = s3_uri.partition("?")
    (folder / "elsewhere").write_text(f"{path}/run{mark}{options}")
    storage = open_storage((folder / "elsewhere").read_text())
    checkpoints = Checkpoints(storage)
    run_until(folder, lambda: 10 in checkpoints.steps(), world=2, attempt=1)
    newest = checkpoints.steps()[-1]
    run(folder, world=1, attempt=2)
    assert (folder / "ending-2").read_text() == f"finished {STEPS}"
    assert checkpoints.steps()[-1] == STEPS and checkpoints.verify(STEPS) == []
    steps = [plain for plain in read_steps(storage) if plain["attempt"] == 2]
    assert [plain["step"] for plain in steps] == list(range(newest + 1, STEPS + 1))
    assert "checkpoint_committed" in {event.kind for event in read_events(storage)}
