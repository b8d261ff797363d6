"""A sweep from the command line: its driver killed and resumed, trials that fail, one winner."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.runs.find import open_run
from orchestrator.tuning.board import read_board
from orchestrator.tuning.trials import Fate
from tests.e2e.test_finetune import WORDS, encoder
from tests.e2e.test_pretrain import wait_for
from tests.real import Orchestrate, command, start
from tests.tasks.small import write_jsonl
from tests.training.ranks import rows

__all__ = ["encoder"]
pytestmark = [pytest.mark.ray, pytest.mark.faults]


def settings(folder: Path, encoder: Path, name: str, *more: str) -> list[str]:
    lines = [
        {"text": f"the {WORDS[n % 8]} of the {WORDS[n // 8 % 8]}", "label": "ab"[n % 8 % 2]}
        for n in range(96)
    ]
    file = write_jsonl(folder / "train.jsonl", lines)
    return [
        *("task=own_classes", f"task.data.splits.train.path=[{file}]", "task.data.kind=jsonl"),
        *(f"encoder={encoder}", "task.data.test_share=0.2", "task.max_tokens=16"),
        *("batch.pack_examples=4", "budget.epochs=3", "checkpoint.every_steps=4"),
        *("tracking=off", "recovery.backoff=100ms", "search.max_concurrent=2", f"name={name}"),
        *more,
    ]


def kill_after(folder: Path, words: list[str], environment: dict[str, str], kinds: int) -> None:
    """The driver, with no warning, once the ledger has so many words about trials."""
    process = start(words, environment)
    try:
        wait_for(process, lambda: len(told(folder)) >= kinds)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, "what a driver had started ends with it"
    finally:
        process.kill()
        process.communicate()


def told(storage: Path) -> list[dict[str, Any]]:
    """The ledger's words about trials, of the one run there."""
    return [
        event
        for folder in storage.glob("*-sweep-*")
        for event in rows(folder, "events")
        if event["kind"].startswith("trial_")
    ]


@pytest.mark.long
def test_a_killed_sweep_tries_every_configuration_once(
    orchestrate: Orchestrate, environment: dict[str, str], encoder: Path, tmp_path: Path
) -> None:
    environment = environment | {"ORCHESTRATOR_STORAGE": str(tmp_path / "runs")}
    grid = (
        *("search=grid", "space=rate", "space.optim.lr.log_uniform=null"),
        "space.optim.lr.choice=[0.001,0.008,1e30]",
        "space.batch.examples.choice=[4,8]",
    )
    words = command("run", "sweep", *settings(tmp_path, encoder, "sweep", *grid))
    kill_after(tmp_path / "runs", words, environment, 7)
    (folder,) = (tmp_path / "runs").glob("*-sweep-*")
    over = {event["trial"] for event in told(tmp_path / "runs") if event["kind"] == "trial_ended"}
    orchestrate("resume", folder.name, ORCHESTRATOR_STORAGE=str(tmp_path / "runs"))
    orchestrate("audit", folder.name, ORCHESTRATOR_STORAGE=str(tmp_path / "runs"))  # else it fails

    board = read_board(open_run(str(folder)))
    points = [tuple(trial.point.values()) for trial in board.trials]
    assert len(points) == len(set(points)) == board.num_wanted == 6
    assert {trial.number for trial in board.trials} == set(range(6))
    assert board.count(Fate.FINISHED) == 4
    failed = [trial for trial in board.trials if trial.fate is Fate.FAILED]
    assert all("gradient" in trial.reason for trial in failed) and len(failed) == 2
    for number in over:  # what was done was not done again
        again = rows(folder / "trials" / f"{number:04d}", "metrics")
        assert all(row["attempt"] == 1 for row in again)
    result = json.loads((folder / "result.json").read_text())
    assert board.best is not None and board.best.value == result["chosen_value"]
    assert set(result["metrics"]) == {"validation", "test"}
    assert (folder / "export" / "task.json").exists()
    models = [path.parent.name for path in folder.glob("trials/*/export")]
    assert models == [f"{result['winner']:04d}"]
    assert not list(folder.glob("trials/*/checkpoints"))


@pytest.mark.long
def test_a_sweep_that_is_killed_five_times_comes_to_the_same(
    orchestrate: Orchestrate, environment: dict[str, str], encoder: Path, tmp_path: Path
) -> None:
    """One trial at a time, so that each proposal knows the same in both."""
    more = ("search=tpe", "search.max_concurrent=1", "search.startup_trials=3", "budget.trials=7")
    space = ("space.optim.lr.log_uniform=[1e-4,1e-2]", "space.batch.examples.choice=[4,8]")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    words = ["run", "sweep", *settings(tmp_path, encoder, "sweep", *more, *space)]
    orchestrate(*words, ORCHESTRATOR_STORAGE=str(straight))
    kill_after(killed, command(*words), environment | {"ORCHESTRATOR_STORAGE": str(killed)}, 3)
    (folder,) = killed.glob("*-sweep-*")
    for kinds in (7, 12, 17, 22):
        resume = command("resume", folder.name)
        environment = environment | {"ORCHESTRATOR_STORAGE": str(killed)}
        kill_after(killed, resume, environment, kinds)
    orchestrate("resume", folder.name, ORCHESTRATOR_STORAGE=str(killed))
    orchestrate("audit", folder.name, ORCHESTRATOR_STORAGE=str(killed))  # else it fails
    (other,) = straight.glob("*-sweep-*")
    found, wanted = read_board(open_run(str(folder))), read_board(open_run(str(other)))
    assert [(each.number, each.point, each.value) for each in found.trials] == [
        (each.number, each.point, each.value) for each in wanted.trials
    ]
    weights = [each / "export" / "model.safetensors" for each in (folder, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("search", ["pbt", "pb2"])
def test_a_population_that_is_killed_comes_to_the_same(
    orchestrate: Orchestrate,
    environment: dict[str, str],
    encoder: Path,
    tmp_path: Path,
    search: str,
) -> None:
    """Who takes over from whom, with which settings, and every bit of the winner's weights."""
    more = (f"search={search}", "space=schedule", "space.optim.lr.log_uniform=[1e-5,1e-1]")
    more += ("budget.trials=4", "budget.epochs=4")
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    words = ["run", "sweep", *settings(tmp_path, encoder, "sweep", *more)]
    orchestrate(*words, ORCHESTRATOR_STORAGE=str(straight))
    kill_after(killed, command(*words), environment | {"ORCHESTRATOR_STORAGE": str(killed)}, 6)
    (folder,) = killed.glob("*-sweep-*")
    for kinds in (10, 15):
        resume = command("resume", folder.name)
        kill_after(killed, resume, environment | {"ORCHESTRATOR_STORAGE": str(killed)}, kinds)
    orchestrate("resume", folder.name, ORCHESTRATOR_STORAGE=str(killed))
    (other,) = straight.glob("*-sweep-*")
    found, wanted = read_board(open_run(str(folder))), read_board(open_run(str(other)))
    assert [(each.number, each.legs, each.measured, each.value) for each in found.trials] == [
        (each.number, each.legs, each.measured, each.value) for each in wanted.trials
    ]
    assert any(trial.taken for trial in wanted.trials), "nobody took over anything"
    weights = [each / "export" / "model.safetensors" for each in (folder, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    said = orchestrate("sweep", "best", other.name, ORCHESTRATOR_STORAGE=str(straight))
    result = json.loads((other / "result.json").read_text())
    assert said.stdout.split() == result["overrides"]
    assert ("changed while it trained" in said.stderr) == (len(result["way"]) > 1)
    assert (other / "sweep" / "leaderboard.csv").read_text().count("\n") == 5


GROUPS = (
    *("cluster.num_workers=2", "zero=1", "search=asha", "search.kind=grid", "space=rate"),
    *("search.max_concurrent=1", "batch.examples=8", "space.optim.lr.log_uniform=null"),
    "space.optim.lr.choice=[0.008,0.02,0.05]",
)


@pytest.mark.long
def test_trials_of_two_workers_lose_their_driver_a_rank_and_their_actor_and_come_to_the_same(
    orchestrate: Orchestrate, environment: dict[str, str], encoder: Path, tmp_path: Path
) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    words = ["run", "sweep", *settings(tmp_path, encoder, "sweep", *GROUPS)]
    said = orchestrate(*words, ORCHESTRATOR_STORAGE=str(straight)).stdout
    assert "trial 0000 | " in said
    environment = environment | {"ORCHESTRATOR_STORAGE": str(killed)}
    kill_after(killed, command(*words), environment, 2)  # a measurement of the first
    (folder,) = killed.glob("*-sweep-*")
    lose(folder, command("resume", folder.name), environment, "RayTrainWorker", "ResourceTrainable")

    (other,) = straight.glob("*-sweep-*")
    found, wanted = read_board(open_run(str(folder))), read_board(open_run(str(other)))
    assert [(each.point, each.fate, each.measured, each.value) for each in found.trials] == [
        (each.point, each.fate, each.measured, each.value) for each in wanted.trials
    ]
    assert [each.fate for each in wanted.trials] == [Fate.FINISHED, Fate.STOPPED, Fate.STOPPED]
    weights = [each / "export" / "model.safetensors" for each in (folder, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert not list(folder.glob("trials/*/checkpoints"))
    worlds = [
        event["workers"]
        for event in rows(folder / "trials" / "0000", "events")
        if event["kind"] == "running"
    ]
    assert set(worlds) == {2} and len(worlds) == 4


def lose(folder: Path, words: list[str], environment: dict[str, str], *names: str) -> None:
    """While the sweep goes on to its end: one process of each name, each in another start."""
    lost = 0

    def is_lost() -> bool:
        """A trial's workers are there, and it has trained with them."""
        nonlocal lost
        starts = [path for path in folder.glob("trials/*/events/*") if "attempt" in path.name]
        begun = sum(
            json.loads(line)["kind"] == "running" and json.loads(line)["attempt"] == 2
            for path in starts
            for line in path.read_text().splitlines()
        )
        if begun <= lost:
            return False
        victim = next(
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if names[lost] in "".join(child.cmdline())
        )
        victim.send_signal(signal.SIGKILL)
        lost += 1
        return lost == len(names)

    process = start(words, environment)
    try:
        wait_for(process, is_lost)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.wait()
    kinds = [event["kind"] for event in told(folder.parent)]
    assert kinds.count("trial_lost") == len(names)
