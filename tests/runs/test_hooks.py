from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.runs.hooks import tell
from orchestrator.runs.state import State
from orchestrator.settings.notify import Ending, Notify

ENDING = {"state": "failed", "run": "x", "reason": "é ☃"}
KEEP = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"


def _told(notify: Notify, **ending: Any) -> list[dict[str, Any]]:
    return list(tell(notify, ENDING | ending))


@contextmanager
def _webhook(status: int = 200) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A real server; its URL and the (path, body) of every POST that it gets."""
    got: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            got.append((self.path, json.loads(self.rfile.read(size))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", got
        finally:
            server.shutdown()
            thread.join()


def test_nobody_is_told_unless_asked_for() -> None:
    assert _told(Notify()) == []


@pytest.mark.parametrize("state", [State.FINISHED, State.FAILED, State.STOPPED])
def test_only_the_chosen_endings_are_told(tmp_path: Path, state: State) -> None:
    for ending in Ending:
        notify = Notify(command=("true",), when=(ending,))
        assert bool(_told(notify, state=state.value)) is (ending.value == state.value)


def test_a_command_gets_the_ending_as_json_and_its_arguments_without_a_shell(
    tmp_path: Path,
) -> None:
    target = tmp_path / "$HOME; touch x"
    (said,) = _told(Notify(command=(sys.executable, "-c", KEEP, str(target))))
    assert said == {
        "hook": "command",
        "program": sys.executable,
        "ok": True,
        "exit_code": 0,
        "stderr": "",
    }
    assert json.loads(target.read_bytes()) == ENDING


def test_a_command_that_fails_is_told_with_its_last_words() -> None:
    script = "import sys; sys.stderr.write('x' * 9000 + 'the end'); sys.exit(3)"
    (said,) = _told(Notify(command=(sys.executable, "-c", script)))
    assert (said["ok"], said["exit_code"]) == (False, 3)
    assert said["stderr"].endswith("xthe end")
    assert len(said["stderr"]) == 500


@pytest.mark.parametrize("command", ["no-such-program-of-ours", "/", "", "nul\0byte"])
def test_a_command_that_cannot_start_is_a_fact_and_no_exception(command: str) -> None:
    (said,) = _told(Notify(command=(command,)))
    assert said["ok"] is False
    assert said["reason"]


def test_a_secret_in_the_words_of_a_command_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cr3t-value-0123"
    monkeypatch.setenv("PLANTED_TOKEN", secret)
    script = "import os, sys; sys.stderr.write(os.environ['PLANTED_TOKEN'] + 'x' * 490)"
    (said,) = _told(Notify(command=(sys.executable, "-c", script)))
    assert not any(secret[start:] in said["stderr"] for start in range(len(secret) - 4))


def test_a_webhook_gets_the_ending_as_json() -> None:
    with _webhook() as (url, got):
        assert _told(Notify(url=url)) == [{"hook": "webhook", "ok": True, "http_status": 200}]
    assert got == [("/hook", ENDING)]


def test_a_command_and_a_webhook_are_both_told_even_if_the_first_fails() -> None:
    with _webhook() as (url, got):
        said = _told(Notify(command=("no-such-program-of-ours",), url=url))
    assert [(fact["hook"], fact["ok"]) for fact in said] == [("command", False), ("webhook", True)]
    assert len(got) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_webhook_that_refuses_is_a_fact_with_its_status(status: int) -> None:
    with _webhook(status) as (url, _):
        (said,) = _told(Notify(url=url))
    assert (said["ok"], said["reason"]) == (False, f"HTTPError {status}")


def test_the_url_can_be_in_a_file_and_is_in_no_fact(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    with _webhook() as (url, got):
        secret.write_text(f"{url}?token=hunter2\n")
        said = _told(Notify(url_file=str(secret)))
    assert said == [{"hook": "webhook", "ok": True, "http_status": 200}]
    assert got == [("/hook?token=hunter2", ENDING)]
    said = _told(Notify(url_file=str(secret)))  # the server is gone
    assert said[0]["ok"] is False
    assert "hunter2" not in str(said)


def test_the_url_file_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with _webhook() as (url, got):
        (tmp_path / "hook").write_text(url)
        assert _told(Notify(url_file="~/hook"))[0]["ok"]
    assert len(got) == 1


@pytest.mark.parametrize(
    "content",
    [
        *("", "not a url", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1/hunter2"),
        *("http://127.0.0.1:port/hunter2", "http://127.0.0.1:99999/hunter2", "http://a b/hunter2"),
        *("http://127.0.0.1:9/hunter2\nmore", "\xff\xfe"),
    ],
)
def test_whatever_the_url_file_holds_nothing_is_raised_and_nothing_of_it_told(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "url").write_bytes(content.encode("latin-1"))
    (said,) = _told(Notify(url_file=str(tmp_path / "url")))
    assert said["ok"] is False
    assert "hunter2" not in str(said)


@pytest.mark.parametrize("path", ["/no/such/file", "/", "~nobody-of-that-name/hook"])
def test_a_url_file_that_cannot_be_read_is_a_fact_and_no_exception(path: str) -> None:
    (said,) = _told(Notify(url_file=path))
    assert said["ok"] is False


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_server_that_does_not_speak_http_is_a_fact_and_no_exception(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        (said,) = _told(Notify(url=f"http://127.0.0.1:{server.getsockname()[1]}/"))
        thread.join()
    assert said["ok"] is False
