"""What a Ray head answers over HTTP: version, nodes, packages, jobs. Needs no Ray here.

Plain HTTP keeps `plan`, `submit` and `status` fast (importing Ray costs a second) and lets a laptop
talk to a cluster whose Ray it does not have installed.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from orchestrator.cluster.load import Load, read_load
from orchestrator.errors import ClusterError, RequestError
from orchestrator.settings.cluster import ADDRESS

_TIMEOUT_S = 20.0
_UPLOAD_TIMEOUT_S = 300.0
TOKEN_HINT = (
    "Set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to a file with the cluster's token"
    " (without either, ~/.ray/auth_token is read)."
)


class NotAccepted(ClusterError):
    """The cluster surely does not have the submission: nothing was started."""


class AlreadySubmitted(ClusterError):
    """The cluster has a submission of this id: somebody else's, who asked for the same."""


@dataclass(frozen=True, kw_only=True)
class ClusterFacts:
    ray_version: str
    nodes: int
    resources: dict[str, float]  # CPU, GPU, memory: everything that is there now
    is_this_machine: bool  # all nodes are: they see this machine's disks
    can_grow: bool  # an autoscaler is at work, so `resources` is no ceiling


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    status: str  # PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED
    message: str
    exit_code: int | None

    @property
    def is_over(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")


class RayHttp:
    def __init__(self, address: str, *, token: str | None = None) -> None:
        if broken := ADDRESS.broken_by(address):
            raise RequestError(f"The cluster's address {address!r} {broken}")
        self.address = address.rstrip("/")
        self._token = token if token is not None else find_token()

    def version(self) -> str:
        plain = self._get("/api/version")
        if not isinstance(plain, dict) or "ray_version" not in plain:
            raise self._no_ray("no Ray version in its answer")
        return str(plain["ray_version"])

    def facts(self) -> ClusterFacts:
        version = self.version()  # first: it tells whether this is a Ray at all
        nodes = [
            node
            for node in self._get("/api/v0/nodes?limit=10000")["data"]["result"]["result"]
            if node["state"] == "ALIVE"
        ]
        totals: dict[str, float] = {}
        for node in nodes:
            for name, amount in node["resources_total"].items():
                if name in ("CPU", "GPU", "memory"):
                    totals[name] = totals.get(name, 0.0) + amount
        status = self._get("/api/cluster_status")["data"]
        return ClusterFacts(
            ray_version=version,
            nodes=len(nodes),
            resources=totals,
            is_this_machine={node["node_ip"] for node in nodes} <= _own_addresses(),
            can_grow=_has_autoscaler(status),
        )

    def load(self) -> Load:
        version = self.version()
        nodes = self._get("/nodes?view=summary")["data"]["summary"]
        status = self._get("/api/cluster_status")["data"]
        return read_load(version, nodes, status)

    def upload(self, name: str, data: bytes) -> None:
        """Put a package where runtime environments find it."""
        path = f"/api/packages/gcs/{quote(name)}"
        status, body = self._ask("PUT", path, data=data, timeout_s=_UPLOAD_TIMEOUT_S)
        if status != 200:
            raise ClusterError(f"{self.address} did not take the code: {_last_line(body)}.")

    def submit(self, request: dict[str, Any]) -> None:
        status, body = self._ask("POST", "/api/jobs/", data=json.dumps(request).encode())
        if status == 200:
            return
        if "already exists" in body:
            raise AlreadySubmitted(
                f"{self.address} already has a submission {request['submission_id']}; "
                "nothing was started twice."
            )
        raise NotAccepted(f"{self.address} refused the submission: {_last_line(body)}.")

    def job(self, submission_id: str) -> JobFacts | None:
        """None when this cluster has never heard of it."""
        status, body = self._ask("GET", f"/api/jobs/{quote(submission_id)}")
        if status == 404:
            return None
        plain = self._decoded(status, body)
        return JobFacts(
            status=plain["status"],
            message=plain.get("message") or "",
            exit_code=plain.get("driver_exit_code"),
        )

    def jobs(self) -> list[dict[str, Any]]:
        plain = self._get("/api/jobs/")
        assert isinstance(plain, list)
        return plain

    def job_logs(self, submission_id: str) -> str:
        return str(self._get(f"/api/jobs/{quote(submission_id)}/logs").get("logs", ""))

    def stop_job(self, submission_id: str) -> None:
        self._ask("POST", f"/api/jobs/{quote(submission_id)}/stop")

    def _get(self, path: str) -> Any:
        status, body = self._ask("GET", path)
        return self._decoded(status, body)

    def _decoded(self, status: int, body: str) -> Any:
        try:
            if status != 200:
                raise ValueError(f"status {status}")
            return json.loads(body)
        except ValueError as err:
            raise self._no_ray(str(err)) from err

    def _no_ray(self, found: str) -> ClusterError:
        return ClusterError(
            f"{self.address} answers, but not as a Ray dashboard does ({found}).",
            hint="cluster.address is the dashboard's URL, by default http://<head>:8265.",
        )

    def _ask(
        self, method: str, path: str, *, data: bytes | None = None, timeout_s: float = _TIMEOUT_S
    ) -> tuple[int, str]:
        headers = {"Content-Type": "application/json"} if data is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(
            self.address + path, data=data, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as err:
            body = err.read().decode(errors="replace")
            if err.code in (401, 403):
                raise self._unauthorized(err.code) from None
            return err.code, body
        except (urllib.error.URLError, OSError, http.client.HTTPException) as err:
            raise ClusterError(*self._unreachable(err)) from None

    def _unauthorized(self, code: int) -> ClusterError:
        if code == 401 and not self._token:
            return ClusterError(
                f"{self.address} asks for a token and none was found.", hint=TOKEN_HINT
            )
        return ClusterError(f"{self.address} refuses the token that was found.", hint=TOKEN_HINT)

    def _unreachable(self, err: Exception) -> tuple[str]:
        reason = getattr(err, "reason", err)
        if isinstance(reason, TimeoutError | socket.timeout):
            said = f"did not answer within {_TIMEOUT_S:.0f} s"
        elif isinstance(reason, ConnectionRefusedError):
            said = "nobody listens there"
        elif isinstance(reason, socket.gaierror):
            said = "there is no host of that name"
        else:
            said = str(reason) or type(reason).__name__
        return (
            f"No Ray cluster at {self.address}: {said}. "
            "Check cluster.address, or start a local one with `orchestrator cluster up`.",
        )


def _has_autoscaler(status: dict[str, Any]) -> bool:
    """A cluster that nobody scales reports too, but only mirrors its nodes: `node_<id>` types."""
    report = (status.get("clusterStatus") or {}).get("autoscalerReport")
    if not report:
        return bool(status.get("autoscalingError"))
    types: dict[str, str] = report.get("nodeTypeMapping") or {}
    return not types or any(kind != f"node_{node}" for node, kind in types.items())


def _own_addresses() -> set[str]:
    """A forwarded port makes a far cluster look near; its nodes' addresses do not lie."""
    return {one.address for those in psutil.net_if_addrs().values() for one in those}


def find_token() -> str | None:
    """In Ray's own order: RAY_AUTH_TOKEN, the file of RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path.expanduser().read_text().strip() or None
    except OSError:
        return None


def _last_line(body: str) -> str:
    lines = [line for line in body.strip().splitlines() if line.strip()]
    return (lines or ["no reason given"])[-1][:300].rstrip(".")
