"""A real dashboard on a free port, in a thread of its own, and what a program may ask it."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.api import Orchestrator
from orchestrator.dashboard.server import Server

TOKEN = "the-token-of-this-test"


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Served:
    server: Server

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """The path is sent as it is: no client may tidy it up."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        response = connection.getresponse()
        answer = Answer(
            status=response.status, headers=dict(response.headers), body=response.read()
        )
        connection.close()
        return answer


@contextmanager
def serving(storage: str, *, address: str | None = None) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Server(Orchestrator(storage), token=TOKEN, address=address)
    try:
        asyncio.run_coroutine_threadsafe(server.start(0), loop).result(30)
        yield Served(server=server)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
