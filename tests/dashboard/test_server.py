from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator
from orchestrator.dashboard.server import Server
from orchestrator.errors import RequestError
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import LocalStorage, open_storage
from tests.dashboard.making import Attempt, Script, make
from tests.dashboard.serving import TOKEN, Served, serving
from tests.waiting import wait_for

READS = (
    *("", "/facts", "/events", "/logs", "/curve?metric=train/loss&smooth=0.9&axis=time&points=50"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def runs(folder: Path) -> list[RunFolder]:
    storage = open_storage(folder)
    live = [Attempt(first=1, last=40, ended="running")]
    over = [Attempt(first=1, last=40), Attempt(first=31, last=120, ended="stopped")]
    scripts = [Script(number=1, attempts=live), Script(number=2, attempts=over, lr=1e-3)]
    return [make(storage, script) for script in scripts]


@pytest.fixture(scope="module")
def served(folder: Path, runs: list[RunFolder]) -> Iterator[Served]:
    (folder / "secret.txt").write_text("of somebody else's")
    with serving(str(folder)) as made:
        yield made


def test_every_question_about_a_run_has_an_answer(served: Served, runs: list[RunFolder]) -> None:
    both = ",".join(run.id for run in runs)
    paths = [f"/api/runs/{run.id}{read}" for run in runs for read in READS]
    for path in ["/", "/api/runs", *paths, f"/api/compare?runs={both}", "/api/cluster"]:
        answer = served.ask(path)
        assert answer.status == 200, (path, answer.body)
        assert answer.body


def test_each_answer_lets_the_page_talk_to_this_server_only(served: Served) -> None:
    for path in ("/", "/js/app.js", "/api/runs", "/nothing"):
        headers = served.ask(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


def test_a_run_that_cannot_be_read_is_told_as_such(served: Served, runs: list[RunFolder]) -> None:
    runs[1].storage.write(layout.RESULT, b'{"metrics": ')
    try:
        answer = served.ask(f"/api/runs/{runs[1].id}/result")
    finally:
        runs[1].storage.remove(layout.RESULT)
    assert answer.status == 500 and "/result cannot be answered" in answer.json()["error"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")


def test_the_page_names_no_other_host(served: Served) -> None:
    page = served.ask("/").body.decode()
    assert "http://" not in page and "https://" not in page


def test_what_was_sent_is_not_sent_again(served: Served, runs: list[RunFolder]) -> None:
    path = f"/api/runs/{runs[1].id}/facts"
    tag = served.ask(path).headers["Etag"]
    again = served.ask(path, If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    assert served.ask(path, If_None_Match='"another"').status == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//etc/passwd", "/server.py"),
        *("/api/runs/..%2fsecret.txt/logs", "/api/runs/../../secret.txt", "/api/runs/secret.txt"),
        *("/api/runs/%2e%2e/facts", "/api/runs/20261120-090000-pretrain-9999/logs", "/js/"),
    ],
)
def test_no_path_leads_outside_of_the_runs(served: Served, path: str) -> None:
    answer = served.ask(path)
    assert answer.status == 404
    assert b"somebody" not in answer.body and b"root:" not in answer.body


@pytest.mark.parametrize("action", ["stop", "resume"])
def test_nothing_is_done_without_the_token(
    served: Served, runs: list[RunFolder], action: str
) -> None:
    path = f"/api/runs/{runs[0].id}/{action}"
    before = len(runs[0].events())
    foreign = f"http://evil.example:{served.server.port}"
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN}", "Origin": foreign},
        {"Authorization": f"Bearer {TOKEN}", "Host": f"evil.example:{served.server.port}"},
    ):
        assert served.ask(path, "POST", **headers).status == 403
    assert served.ask(path, Authorization=f"Bearer {TOKEN}").status == 404  # a GET does nothing
    assert len(runs[0].events()) == before


def test_with_the_token_a_run_is_stopped(served: Served, runs: list[RunFolder]) -> None:
    asked = served.ask(f"/api/runs/{runs[0].id}/stop", "POST", Authorization=f"Bearer {TOKEN}")
    assert asked.status == 200, asked.body
    last = runs[0].events()[-1]
    assert (last.kind, last.fields["by"]) == ("stop_requested", "the dashboard")


def test_what_cannot_be_done_is_refused_with_the_command(
    served: Served, runs: list[RunFolder]
) -> None:
    token = f"Bearer {TOKEN}"
    stop = served.ask(f"/api/runs/{runs[1].id}/stop", "POST", Authorization=token)
    assert stop.status == 400
    assert "nothing to stop" in stop.json()["error"]
    resume = served.ask(f"/api/runs/{runs[1].id}/resume", "POST", Authorization=token)
    assert resume.status == 400
    assert resume.json()["hint"] == f"orchestrator resume {runs[1].id}"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_reading_is_by_get_only(served: Served, method: str) -> None:
    for path in ("/", "/api/runs"):
        assert served.ask(path, method).status == 405


def test_another_name_for_this_machine_is_refused(served: Served) -> None:
    assert served.ask("/api/runs", Host="evil.example").status == 403
    assert served.ask("/api/runs", Host=f"localhost:{served.server.port}").status == 200


@pytest.mark.parametrize(
    "asked", ["", "metric=a&axis=colour", "metric=a&points=many", "metric=a&low=x"]
)
def test_a_mistake_in_a_question_is_told(served: Served, runs: list[RunFolder], asked: str) -> None:
    answer = served.ask(f"/api/runs/{runs[0].id}/curve?{asked}")
    assert answer.status == 400
    assert answer.json()["error"]


def test_logs_are_filtered_and_know_their_attempts(served: Served, local: LocalStorage) -> None:
    attempts = [Attempt(first=1, last=2, ended="failed"), Attempt(first=1, last=3)]
    logs = ["one fish", "TWO fish", "(raylet) chatter"]
    run = make(local, Script(number=1, attempts=attempts, logs=logs))
    with serving(local.uri) as other:
        path = f"/api/runs/{run.id}/logs"
        everything = other.ask(path).json()
        assert everything["lines"] == [[n, text] for n in (1, 2) for text in logs[:2]]
        assert other.ask(f"{path}?words=two").json()["lines"] == [[1, logs[1]], [2, logs[1]]]
        assert len(other.ask(f"{path}?attempt=2").json()["lines"]) == 2


def test_a_taken_port_is_told(served: Served, folder: Path) -> None:
    async def start() -> None:
        second = Server(Orchestrator(str(folder)))
        try:
            await second.start(served.server.port)
        finally:
            await second.stop()

    with pytest.raises(RequestError, match=f"Port {served.server.port} .* is taken"):
        asyncio.run(start())


def test_it_listens_on_loopback_only(served: Served) -> None:
    (address,) = served.server._runner.addresses
    assert address[0] == "127.0.0.1"


def test_a_long_run_is_drawn_at_once_and_whole_when_it_is_read(local: LocalStorage) -> None:
    long = [Attempt(first=1, last=13_000)]
    page, chart = (make(local, Script(number=n, began=1.7e9 + n, attempts=long)) for n in (1, 2))
    with serving(local.uri) as other:
        told = other.ask(f"/api/runs/{page.id}").json()
        assert told["goodput"] is None
        assert "eval/loss" in told["metrics"]
        path = f"/api/runs/{chart.id}/curve?metric=train/loss&points=20000"
        first = other.ask(path).json()
        assert first["some"]
        assert first["mark"] == ""
        assert (first["x"][0], first["x"][-1]) == (1, 13_000)
        assert 1000 < first["rows"] < 13_000
        wait_for(lambda: other.ask(path).json()["rows"] == 13_000, "all lines")
        whole = other.ask(path).json()
        assert "some" not in whole
        values = dict(zip(whole["x"], whole["y"], strict=True))
        assert {x: values[x] for x in first["x"]} == dict(zip(first["x"], first["y"], strict=True))
        assert other.ask(f"/api/runs/{page.id}").json()["goodput"]["useful"] > 0
