"""A head that is not there, not a Ray, or does not let us in; loopback servers play the heads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestrator.cluster.http import RayHttp, find_token
from orchestrator.errors import ClusterError


@contextmanager
def head(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_address_where_nobody_listens_is_said_with_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ClusterError, match="nobody listens there") as caught:
        RayHttp(f"http://127.0.0.1:{port}", token="").version()
    assert "orchestrator cluster up" in str(caught.value)


def test_a_missing_and_a_wrong_token_are_told_apart() -> None:
    with (
        head(401, b"Unauthorized") as address,
        pytest.raises(ClusterError, match="asks for a token"),
    ):
        RayHttp(address, token="").version()
    with head(403, b"Forbidden") as address, pytest.raises(ClusterError, match="refuses the token"):
        RayHttp(address, token="wrong").version()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}"])
def test_a_server_that_is_no_ray_is_recognised(body: bytes) -> None:
    with head(200, body) as address, pytest.raises(ClusterError, match="not as a Ray dashboard"):
        RayHttp(address, token="").version()


def test_a_token_is_found_in_rays_own_order(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert find_token() is None
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("of the home\n")
    assert find_token() == "of the home"
    (home / "other").write_text("of the path")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "other"))
    assert find_token() == "of the path"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of the variable")
    assert find_token() == "of the variable"
