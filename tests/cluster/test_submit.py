"""What a submission means for its run when the cluster accepts, refuses, or its answer is lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator, Run
from orchestrator.cluster.http import AlreadySubmitted, NotAccepted, RayHttp
from orchestrator.cluster.place import Place
from orchestrator.errors import ClusterError, NotFoundError
from orchestrator.runs.state import State


class Head(ThreadingHTTPServer):
    """A loopback server in a Ray head's place; `answer` says what becomes of a POST."""

    daemon_threads = True
    answer: Callable[[BaseHTTPRequestHandler], None]
    knows_job = False


class Handler(BaseHTTPRequestHandler):
    server: Head

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.tell(200, "")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer(self)

    def do_GET(self) -> None:
        if self.server.knows_job:
            self.tell(200, json.dumps({"status": "RUNNING"}))
        else:
            self.tell(404, "")

    def tell(self, status: int, body: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def head() -> Iterator[Head]:
    server = Head(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    project = tmp_path / "project"
    project.mkdir()
    orchestrator = Orchestrator(str(tmp_path / "runs"), working_dir=project)
    return orchestrator.create(orchestrator.plan("probe", place=Place.HERE))


def submit(run: Run, head: Head) -> None:
    run.submit_to(RayHttp(f"http://127.0.0.1:{head.server_port}", token=""), 1)


def test_a_second_submission_of_an_attempt_does_not_touch_the_first(run: Run, head: Head) -> None:
    run.folder.note("attempt_started", attempt=1)
    run.folder.note("running", attempt=1)
    head.answer = lambda request: request.tell(500, "Job with submission_id x already exists.")
    with pytest.raises(AlreadySubmitted):
        submit(run, head)
    assert run.folder.status().state is State.RUNNING


def test_a_clear_refusal_fails_the_attempt(run: Run, head: Head) -> None:
    head.answer = lambda request: request.tell(400, "ValueError: no such thing")
    with pytest.raises(NotAccepted, match="no such thing"):
        submit(run, head)
    assert run.folder.status().state is State.FAILED


def test_a_submission_whose_answer_is_lost_is_looked_up(run: Run, head: Head) -> None:
    head.answer = lambda request: request.connection.close()
    head.knows_job = True
    submit(run, head)
    assert run.folder.status().state is State.QUEUED


def test_a_submission_that_surely_did_not_arrive_fails_the_attempt(run: Run, head: Head) -> None:
    head.answer = lambda request: request.connection.close()
    with pytest.raises(NotAccepted):
        submit(run, head)
    assert run.folder.status().state is State.FAILED


def test_when_nobody_can_say_the_run_stays_queued(run: Run, head: Head) -> None:
    def vanish(request: BaseHTTPRequestHandler) -> None:
        request.connection.close()
        head.socket.close()

    head.answer = vanish
    with pytest.raises(ClusterError) as caught:
        submit(run, head)
    assert not isinstance(caught.value, NotAccepted)
    assert run.folder.status().state is State.QUEUED


def test_a_run_that_was_never_started_can_be_stopped(run: Run) -> None:
    assert run.stop(by="somebody").state is State.STOPPED


def test_whoever_follows_a_deleted_run_is_told(run: Run) -> None:
    follower = run.logs(follow=True)
    run.delete()
    with pytest.raises(NotFoundError, match="was deleted"):
        next(follower)
