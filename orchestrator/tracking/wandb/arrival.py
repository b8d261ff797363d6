"""What W&B has of a run, asked of its server. The only questions that we ask it ourselves."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import OrchestratorError

_COUNT = """query RowCount($entity: String!, $project: String!, $run: String!) {
  project(name: $project, entityName: $entity) { run(name: $run) { historyLineCount } } }"""
_PAGE = """query HistoryPage($entity: String!, $project: String!, $run: String!,
                  $minStep: Int64!, $maxStep: Int64!, $pageSize: Int!) {
  project(name: $project, entityName: $entity) { run(name: $run) {
    history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) } } }"""
_PAGE_ROWS = 1000


class ServerError(OrchestratorError):
    """W&B's server does not answer, or not what was asked."""


@dataclass(frozen=True, kw_only=True)
class Server:
    url: str
    entity: str
    project: str
    run: str
    key: str = field(repr=False)
    timeout_s: float = 20.0

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
        body = json.dumps({"query": query, "variables": named | variables}).encode()
        login = base64.b64encode(f"api:{self.key}".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
        request = urllib.request.Request(f"{self.url.rstrip('/')}/graphql", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                answer = json.load(response)
        except (OSError, ValueError) as err:
            code = f" ({err.code})" if isinstance(err, urllib.error.HTTPError) else ""
            raise ServerError(f"{self.url} does not answer{code}: {err}.") from err
        if not isinstance(answer, dict) or answer.get("errors"):
            raise ServerError(f"{self.url} refuses: {json.dumps(answer)[:300]}")
        project = (answer.get("data") or {}).get("project") or {}
        return project.get("run") or {}
