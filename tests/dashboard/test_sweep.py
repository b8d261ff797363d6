"""A sweep's page and those of its trials, from its folder alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.runs.ledger import Ledger
from orchestrator.runs.storage import LocalStorage, open_storage
from tests.dashboard.making import Attempt, Script, make
from tests.dashboard.serving import TOKEN, Served, serving
from tests.dashboard.sweeping import ID, make_sweep

TRIALS, OTHER = 16, "20261120-140000-sweep-9102"
PLAIN = Script(number=1, attempts=[Attempt(first=1, last=5)])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("sweeps") / "runs"
    make_sweep(open_storage(folder), trials=TRIALS)
    make_sweep(open_storage(folder), trials=2, name=OTHER)
    make(open_storage(folder), PLAIN)
    (folder / ID / "trials" / "secret").mkdir()
    (folder / ID / "trials" / "secret" / "job.yaml").write_text("of somebody else's")
    with serving(str(folder)) as made:
        yield made


def test_the_board_has_every_trial_the_best_first(served: Served) -> None:
    board = served.ask(f"/api/runs/{ID}/sweep").json()
    assert (board["metric"], board["rungs"], board["longest"]) == ("accuracy", [1, 3], 9)
    assert (len(board["trials"]), board["done"], board["wanted"]) == (TRIALS, TRIALS, 30)
    ranked = [trial for trial in board["trials"] if trial["rank"]]
    assert [trial["rank"] for trial in ranked] == list(range(1, len(ranked) + 1))
    values = [trial["value"] for trial in ranked]
    assert values == sorted(values, reverse=True) and len(values) >= 3
    assert ranked[0]["trial"] == board["winner"]
    assert board["counts"]["failed"] == 1 and board["counts"]["stopped"] > 0
    given_up = next(trial for trial in board["trials"] if trial["fate"] == "stopped")
    assert given_up["reason"].startswith("given up after")
    assert [point[0] for point in given_up["curve"]] == [1.0, 2.0, 3.0][: len(given_up["curve"])]


def test_a_trial_has_a_page_as_a_run_has(served: Served) -> None:
    trials = served.ask(f"/api/runs/{ID}/sweep").json()["trials"]
    best, failed = trials[0], next(trial for trial in trials if trial["fate"] == "failed")
    page = served.ask(f"/api/runs/{best['run']}").json()
    assert (page["run"]["state"], page["run"]["step"], page["trial"]["of"]) == ("finished", 360, ID)
    assert page["trial"]["rank"] == 1
    assert f"optim.lr={best['point']['optim.lr']!r}" in page["trial"]["overrides"]
    assert {"samples", "result"} <= set(page["parts"])
    curve = served.ask(f"/api/runs/{best['run']}/curve?metric=eval/accuracy").json()
    assert curve["y"][-1] == best["value"]
    curves = [
        served.ask(f"/api/runs/{name}~0001/curve?metric=eval/accuracy").json()["y"]
        for name in (ID, OTHER)
    ]
    assert curves[0] != curves[1], "a number is of its sweep"
    result = served.ask(f"/api/runs/{best['run']}/result").json()["result"]
    assert result["metrics"]["validation"]["accuracy"] == best["value"]
    assert len(served.ask(f"/api/runs/{best['run']}/samples").json()["samples"]) == 3
    for part in ("facts", "events", "logs"):
        assert served.ask(f"/api/runs/{best['run']}/{part}").status == 200
    told = served.ask(f"/api/runs/{failed['run']}").json()
    assert (told["run"]["state"], told["status"]["blame"]) == ("failed", "user")
    assert "norm nan" in told["status"]["reason"]


@pytest.mark.parametrize(
    "name",
    [
        *(f"{ID}~7", f"{ID}~0099", f"{ID}~secret", f"{ID}~..", f"{ID}~", f"{ID}~00001"),
        *(f"{ID}~..%2f..%2fsecret", f"{ID}~0007~0000", "~0007", f"{ID}%2ftrials%2f0007", "x~0007"),
    ],
)
def test_a_name_leads_to_trials_only(served: Served, name: str) -> None:
    for part in ("", "/facts", "/logs", "/result"):
        answer = served.ask(f"/api/runs/{name}{part}")
        assert answer.status == 404
        assert b"somebody" not in answer.body


def test_a_trial_is_not_stopped_or_resumed_by_itself(served: Served) -> None:
    for action in ("stop", "resume"):
        answer = served.ask(
            f"/api/runs/{ID}~0001/{action}", "POST", Authorization=f"Bearer {TOKEN}"
        )
        assert answer.status == 404


def test_what_is_no_sweep_has_no_board(served: Served) -> None:
    answer = served.ask(f"/api/runs/{PLAIN.id}/sweep")
    assert answer.status == 400 and "is a pretrain, not a sweep" in answer.json()["error"]
    page = served.ask(f"/api/runs/{PLAIN.id}").json()
    assert page["parts"][0] == "curves" and "sweep" not in page["parts"]
    assert served.ask(f"/api/runs/{PLAIN.id}/samples").json()["samples"] == []


def test_a_sweep_that_runs_is_shown_as_it_goes_on(local: LocalStorage) -> None:
    run = make_sweep(local, trials=3, still_open=1)
    with serving(local.uri) as other:
        path, trial = f"/api/runs/{ID}/sweep", f"/api/runs/{ID}~0002"
        before = other.ask(path)
        assert before.json()["counts"]["open"] == 1
        assert other.ask(trial).json()["run"]["state"] == "running"
        assert other.ask(path, If_None_Match=before.headers["Etag"]).status == 304
        importance = f"/api/runs/{ID}/importance"
        few = other.ask(importance).json()
        assert few["shares"] == [] and "from 8 on" in few["caution"]
        with closing(Ledger(run.storage, attempt=2, writer="driver")) as ledger:
            ledger.record("trial_measured", trial=2, epochs=9.0, value=0.99)
            ledger.record("trial_ended", trial=2, fate="finished", value=0.99, reason="")
        other.server.pages.index.forget_time()
        after = other.ask(path).json()
        assert (after["trials"][0]["trial"], after["counts"]["open"]) == (2, 0)
        assert other.ask(trial).json()["run"]["state"] == "finished"
        assert other.ask(importance).json()["num_trials"] == few["num_trials"] + 1
