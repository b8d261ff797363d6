"""Who may ask for what: a small HTTP server on loopback over `Pages`; the CLI and tests start it.

Reading is GET. What changes a run is POST and needs the token that the address was printed with.
The files of the page are read once at start, and a run is known by its listed id only, so that no
path of a request opens a file.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from orchestrator.api import Orchestrator
from orchestrator.dashboard.pages import Pages
from orchestrator.errors import NotFoundError, OrchestratorError, RequestError

HOST = "127.0.0.1"
USUAL_PORT = 8270
_KINDS = {
    **{".html": "text/html", ".css": "text/css", ".js": "text/javascript"},
    **{".svg": "image/svg+xml", ".LICENSE": "text/plain", ".md": "text/plain"},
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Server": "orchestrator",  # its versions are nobody's business
}
_NAMES = ("127.0.0.1", "localhost", "[::1]")  # a page of somebody else's comes by another name

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """`start` binds and serves in this event loop; `url` is what a person opens."""

    def __init__(
        self, orchestrator: Orchestrator, *, token: str | None = None, address: str | None = None
    ) -> None:
        """`address` is of a cluster that is shown whether a run uses it or not."""
        self.pages = Pages(orchestrator, address=address)
        self.token = token or secrets.token_urlsafe(24)
        self.port = 0
        self._pool = ThreadPoolExecutor(max_workers=4)
        self._files = _read_files()
        self._runner = web.AppRunner(self._app(), access_log=None)

    @property
    def url(self) -> str:
        """The token is behind the #, which no browser sends."""
        return f"http://{HOST}:{self.port}/#token={self.token}"

    async def start(self, port: int) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, port)
        try:
            await site.start()
        except OSError as err:
            raise RequestError(
                f"Port {port} of {HOST} is taken: {err.strerror}.",
                hint="Choose another with --port, or any free one with --port 0.",
            ) from err
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()
        self._pool.shutdown(cancel_futures=True)
        self.pages.close()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=4096)
        pages = self.pages
        reads: dict[str, Callable[[web.Request], Any]] = {
            "/api/runs": lambda _: pages.runs(),
            "/api/runs/{run}": lambda ask: pages.run(ask.match_info["run"]),
            "/api/runs/{run}/facts": lambda ask: pages.facts(ask.match_info["run"]),
            "/api/runs/{run}/events": lambda ask: pages.events(ask.match_info["run"]),
            "/api/runs/{run}/logs": lambda ask: pages.logs(ask.match_info["run"], ask.query),
            "/api/runs/{run}/sweep": lambda ask: pages.sweep(ask.match_info["run"]),
            "/api/runs/{run}/importance": lambda ask: pages.importance(ask.match_info["run"]),
            "/api/runs/{run}/samples": lambda ask: pages.samples(ask.match_info["run"]),
            "/api/runs/{run}/result": lambda ask: pages.result(ask.match_info["run"]),
            "/api/runs/{run}/curve": lambda ask: pages.curves(ask.match_info["run"], ask.query),
            "/api/compare": lambda ask: pages.compare(ask.query.get("runs", "").split(",")),
            "/api/cluster": lambda _: pages.cluster(),
        }
        for path, answer in reads.items():
            app.router.add_get(path, self._reader(answer))
        app.router.add_post("/api/runs/{run}/stop", self._changer(pages.stop))
        app.router.add_post("/api/runs/{run}/resume", self._changer(pages.resume))
        app.router.add_get("/{path:.*}", self._file)
        return app

    def _reader(self, answer: Callable[[web.Request], Any]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return _tagged(request, await self._aside(lambda: _encoded(answer(request))))

        return handle

    def _changer(self, act: Callable[[str], Any]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._demand_token(request)
            run = request.match_info["run"]
            body = await self._aside(lambda: _encoded(act(run)))
            return web.Response(body=body, content_type="application/json")

        return handle

    async def _aside(self, work: Callable[[], bytes]) -> bytes:
        """Files and clusters can be slow; other requests go on meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"] or "index.html"
        if name not in self._files:
            raise web.HTTPNotFound
        kind = _KINDS["." + name.rpartition(".")[2]]
        return _tagged(request, self._files[name], kind)

    def _demand_token(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            raise web.HTTPForbidden(
                text="This needs the token: open the address that `orchestrator dashboard` printed."
            )
        origin = request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="This can be asked for from the dashboard's page only.")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.host.rpartition(":")[0] not in _NAMES:
                raise web.HTTPForbidden(text=f"The dashboard answers at {HOST} only.")
            response = await handler(request)
        except web.HTTPException as err:
            response = _refused(err.status, err.text or err.reason)
            response.headers.update({k: v for k, v in err.headers.items() if k == "Allow"})
        except OrchestratorError as err:
            status = 404 if isinstance(err, NotFoundError) else 400
            response = _refused(status, err.message, err.hint)
        except Exception as err:  # the border of the page: other runs can still be looked at
            response = _refused(500, f"{request.path} cannot be answered: {err!r}.")
        response.headers.update(_HEADERS)
        return response


def _refused(status: int, message: str, hint: str | None = None) -> web.Response:
    return web.json_response({"error": message, "hint": hint}, status=status)


def _encoded(answer: Any) -> bytes:
    return json.dumps(answer, default=str, allow_nan=False, separators=(",", ":")).encode()


def _tagged(request: web.Request, body: bytes, kind: str = "application/json") -> web.Response:
    """Nothing is sent twice: the same body is a tag that the page already has."""
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    if request.if_none_match and any(one.value == tag for one in request.if_none_match):
        response = web.Response(status=304)
    else:
        response = web.Response(body=body, content_type=kind, charset="utf-8")
    response.etag = tag
    return response


def _read_files() -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def walk(folder: Any, below: str) -> None:
        for item in folder.iterdir():
            if item.is_dir():
                walk(item, f"{below}{item.name}/")
            elif "." + item.name.rpartition(".")[2] in _KINDS:
                found[below + item.name] = item.read_bytes()

    walk(files("orchestrator.dashboard") / "static", "")
    return found
