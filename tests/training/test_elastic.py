"""Law 10: another number of workers goes on with the same samples in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.corpus import layout
from orchestrator.corpus.packs.audit import StepRecord, audit
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.runs.steps import read_steps
from orchestrator.runs.storage import open_storage
from orchestrator.settings.kinds import thaw
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.recipe import training_stream
from tests.training.conftest import Given
from tests.training.ranks import rows, run, run_until

pytestmark = pytest.mark.processes

STEPS = 20


def check_worlds(a_run: Given, corpus: str, stage: int, worlds: list[int]) -> None:
    fixed = a_run("fixed", stage=stage)
    run(fixed, world=2)
    elastic = a_run("elastic", stage=stage)
    for attempt, world in enumerate(worlds[:-1], start=1):
        committed = elastic / "checkpoints" / f"step-{5 * attempt:06d}" / "COMMIT"
        run_until(elastic, committed.exists, world=world, attempt=attempt)
    run(elastic, world=worlds[-1], attempt=len(worlds))
    expected = {row["step"]: row["values"]["train/loss"] for row in rows(fixed, "metrics")}
    found = {row["step"]: row["values"]["train/loss"] for row in rows(elastic, "metrics")}
    assert sorted(found) == list(range(1, STEPS + 1))
    for step, loss in found.items():
        assert loss == pytest.approx(expected[step], rel=1e-4), step
    fed = {row["step"]: row["fed_hash"] for row in rows(fixed, "steps")}
    assert all(row["fed_hash"] == fed[row["step"]] for row in rows(elastic, "steps"))
    check_audit(elastic, corpus)


def check_audit(folder: Path, corpus: str) -> None:
    job = thaw((folder / "job.yaml").read_text())
    assert isinstance(job, PretrainJob)
    prepared = open_corpus(Path(corpus))
    stream = training_stream(job, prepared, open_tokenizer(prepared.tokenizer))

    def records() -> Iterator[StepRecord]:
        return map(StepRecord.from_plain, read_steps(open_storage(folder)))

    found = audit(prepared.split(layout.TRAIN), stream.recipe, records)
    assert found.is_clean, found.problems
    assert found.steps == STEPS


def test_a_run_goes_on_with_another_number_of_workers(
    a_run: Given, prepared: tuple[PretrainJob, str]
) -> None:
    check_worlds(a_run, prepared[1], 2, [2, 1, 3])


@pytest.mark.long
@pytest.mark.parametrize("stage", range(4))
def test_four_two_one_three_workers(
    a_run: Given, prepared: tuple[PretrainJob, str], stage: int
) -> None:
    check_worlds(a_run, prepared[1], stage, [4, 2, 1, 3])
