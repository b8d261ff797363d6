"""What W&B has of a run, asked of its server. The only questions that we ask it ourselves."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from orchestrator.errors import OrchestratorError

_COUNT = """query RowCount($entity: String!, $project: String!, $run: String!) {
  project(name: $project, entityName: $entity) { run(name: $run) { historyLineCount } } }"""
_PAGE = """query HistoryPage($entity: String!, $project: String!, $run: String!,
                  $minStep: Int64!, $maxStep: Int64!, $pageSize: Int!) {
  project(name: $project, entityName: $entity) { run(name: $run) {
    history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) } } }"""
_WHO = "query Viewer { viewer { id entity username } }"
_PAGE_ROWS = 1000
_TIMEOUT_S = 20.0


class ServerError(OrchestratorError):
    """W&B's server does not answer, or not what was asked."""


class KeyRefused(ServerError):
    """It does not know whose key that is."""


class ServerTrouble(ServerError):
    """It is there, and has a trouble of its own."""


def greet(url: str, key: str) -> None:
    """Raises where nobody answers, or where the key is not known. wandb waits out the rest."""
    try:
        answer = _ask(url, key, _WHO, {})
    except ServerTrouble:
        return
    if not answer.get("viewer"):
        raise _refused(url)


@dataclass(frozen=True, kw_only=True)
class Server:
    url: str
    entity: str
    project: str
    run: str
    key: str = field(repr=False)

    def count(self) -> int:
        found = self._ask(_COUNT)
        return int(found["historyLineCount"]) if found else 0

    def rows(self, num_rows: int) -> Iterator[dict[str, Any]]:
        for start in range(0, num_rows, _PAGE_ROWS):
            end = min(start + _PAGE_ROWS, num_rows)
            page = self._ask(_PAGE, minStep=start, maxStep=end, pageSize=_PAGE_ROWS)
            yield from map(json.loads, page.get("history") or [])

    def _ask(self, query: str, **variables: int) -> dict[str, Any]:
        named = {"entity": self.entity, "project": self.project, "run": self.run}
        project = _ask(self.url, self.key, query, named | variables).get("project") or {}
        return project.get("run") or {}


def _ask(url: str, key: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    login = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
    request = urllib.request.Request(f"{url.rstrip('/')}/graphql", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as err:
        if err.code in (401, 403):
            raise _refused(url) from err
        raise ServerTrouble(f"{url} answers with an error: {err}.") from err
    except (OSError, HTTPException) as err:
        raise ServerError(
            f"W&B's server {url} does not answer: {getattr(err, 'reason', err)}.",
            hint="Another server than that is named by WANDB_BASE_URL on the driver's node.",
        ) from err
    except ValueError as err:
        raise ServerTrouble(f"{url} answers with what is no JSON: {err}.") from err
    if not isinstance(answer, dict) or answer.get("errors"):
        raise ServerTrouble(f"{url} refuses: {json.dumps(answer)[:300]}")
    return dict(answer.get("data") or {})


def _refused(url: str) -> KeyRefused:
    return KeyRefused(
        f"W&B's server {url} does not take this node's key.",
        hint="Set WANDB_API_KEY to a key of that server, or name tracking.api_key_file.",
    )
