"""A W&B server as far as its client's protocol goes, on loopback, in a process of its own.

`python loopback.py READY_FILE` writes its address there. It keeps what arrives in memory, answers
`GET /_state` with it, and misbehaves as `POST /_fault` asks:
{"status": 500, "count": 3} · {"drop": "before" | "after", "count": 3} · {"slow_s": 2.0, "count": 3}
· {"lag": 5} · {"spoil": [RUN, ROW]}; `at` in a fault limits it to paths with that word.
A row is stored at its offset, as the real server does, and a second, different one is written down.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HISTORY = "wandb-history.jsonl"
_SUMMARY = "wandb-summary.json"


@dataclass
class Bucket:
    """One W&B run."""

    number: int
    rows: dict[int, str] = field(default_factory=dict)
    conflicts: list[list[Any]] = field(default_factory=list)
    summary: str = "{}"
    config: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)  # name → bytes
    is_complete: bool = False
    exitcode: int | None = None

    def put(self, offset: int, lines: list[str]) -> None:
        for number, line in enumerate(lines, offset):
            old = self.rows.get(number)
            if old is not None and _without_clock(old) != _without_clock(line):
                self.conflicts.append([number, old, line])
            self.rows[number] = line

    @property
    def count(self) -> int:
        return len(self.rows)

    def tail(self, seen: int) -> str:
        return json.dumps([self.rows[seen - 1]] if seen else [])


@dataclass
class World:
    key: str
    buckets: dict[str, Bucket] = field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)  # by digest
    uploads: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    lag: int = 0  # rows that are stored and not yet seen by who asks where to resume
    lock: threading.RLock = field(default_factory=threading.RLock)

    def state(self) -> dict[str, Any]:
        runs = {}
        for name, bucket in self.buckets.items():
            plain = asdict(bucket)
            plain["rows"] = {str(n): bucket.rows[n] for n in sorted(bucket.rows)}
            runs[name] = plain
        artifacts = [
            {name: value for name, value in made.items() if name != "id"}
            for made in self.artifacts.values()
        ]
        return {
            **{"runs": runs, "artifacts": artifacts, "seen": self.seen, "unknown": self.unknown},
            "faults_left": sum(fault["count"] for fault in self.faults),
            "uploads": {name: len(data) for name, data in self.uploads.items()},
            "manifests": [
                data.decode() for name, data in self.uploads.items() if name.startswith("manifest")
            ],
        }

    def fault(self, path: str) -> dict[str, Any] | None:
        with self.lock:
            for fault in self.faults:
                if fault.get("at", "") in path and fault["count"] > 0:
                    fault["count"] -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: World

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/_state":
            with self.world.lock:
                self._answer(self.world.state())
        else:
            self._answer({}, 404)

    def do_PUT(self) -> None:
        body = self._body()
        with self.world.lock:
            name = urlsplit(self.path).path.removeprefix("/_upload/")
            self.world.uploads[name] = body
            run, _, file = name.partition("/")
            if run in self.world.buckets:
                self.world.buckets[run].files[file] = len(body)
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/_fault":
            with self.world.lock:
                fault = json.loads(body)
                self.world.lag = fault.pop("lag", 0)
                if spoilt := fault.pop("spoil", None):
                    run, number = spoilt
                    self.world.buckets[run].rows[number] = '{"train/step": -1}'
                self.world.faults[:] = [fault] if fault else []
            return self._answer({})
        fault = self.world.fault(self.path) or {}
        time.sleep(fault.get("slow_s", 0))
        if "status" in fault:
            return self._answer({"errors": [{"message": "as asked"}]}, fault["status"])
        if fault.get("drop") == "before":
            return self._hang_up()
        answer, status = self._act(body)
        if fault.get("drop") == "after":
            return self._hang_up()
        self._answer(answer, status)

    def _act(self, body: bytes) -> tuple[dict[str, Any], int]:
        given = self.headers.get("Authorization", "")
        if given != "Basic " + base64.b64encode(f"api:{self.world.key}".encode()).decode():
            return {"errors": [{"message": "who are you?"}]}, 401
        with self.world.lock:
            if self.path == "/graphql":
                return graphql(self.world, json.loads(body), self.headers["Host"]), 200
            if self.path.endswith("/file_stream"):
                run = self.path.split("/")[-2]
                self.world.seen.append("file_stream")
                return stream(self.world.buckets[run], json.loads(body)), 200
        return {}, 404

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, answer: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True


def stream(bucket: Bucket, given: dict[str, Any]) -> dict[str, Any]:
    for name, chunk in (given.get("files") or {}).items():
        if name == _HISTORY:
            bucket.put(chunk["offset"], chunk["content"])
        elif name == _SUMMARY:
            bucket.summary = chunk["content"][-1]
    if given.get("complete"):
        bucket.is_complete, bucket.exitcode = True, given.get("exitcode")
    return {"exitcode": None, "limits": {}}


def graphql(world: World, asked: dict[str, Any], host: str) -> dict[str, Any]:
    query, given = asked["query"], asked.get("variables") or {}
    name = query.replace("(", " ").replace("{", " ").split()[1]
    world.seen.append(name)
    answer = _ANSWERS.get(name)
    if answer is None:
        world.unknown.append(query)
        return {"errors": [{"message": f"{name} is not known here"}]}
    return {"data": answer(world, given, host)}


def viewer(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    who = {"id": "VXNlcjox", "entity": "ada", "username": "ada", "email": "a@b.c", "flags": "{}"}
    return {"viewer": who | {"teams": {"edges": []}}}


def features(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    return {"serverInfo": {"features": []}}


def _project() -> dict[str, Any]:
    return {
        "id": "UHJvamVjdDox",
        "name": "encoders",
        "entity": {"id": "RW50aXR5OjE=", "name": "ada"},
    }


def upsert(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    is_new = given["name"] not in world.buckets
    bucket = world.buckets.setdefault(given["name"], Bucket(number=len(world.buckets) + 1))
    if given.get("config"):
        bucket.config = json.loads(given["config"])
    bucket.about |= {
        key: value
        for key, value in given.items()
        if value not in (None, "") and key not in ("config", "summaryMetrics")
    }
    bucket.is_complete = False
    facts = {
        "id": f"run{bucket.number}",
        "name": given["name"],
        "displayName": bucket.about.get("displayName", given["name"]),
        "description": None,
        "config": json.dumps(bucket.config),
        "sweepName": None,
        "project": {**_project(), "name": given.get("project") or "encoders"},
        "historyLineCount": bucket.count,
    }
    return {"upsertBucket": {"bucket": facts, "inserted": is_new}}


def resume_status(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    bucket = world.buckets.get(given["name"])
    known = None
    if bucket is not None:
        seen = max(0, bucket.count - world.lag)
        known = {
            **{"id": f"run{bucket.number}", "name": given["name"], "displayName": given["name"]},
            **{"summaryMetrics": bucket.summary, "config": json.dumps(bucket.config)},
            **{"logLineCount": 0, "historyLineCount": seen, "eventsLineCount": 0},
            **{"historyTail": bucket.tail(seen), "eventsTail": "[]"},
            **{"tags": bucket.about.get("tags", []), "notes": "", "wandbConfig": '{"t": 1}'},
        }
    return {"model": {**_project(), "bucket": known}}


def run_state(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    bucket = world.buckets[given["run"]]
    state = "finished" if bucket.is_complete else "running"
    return {"project": {"run": {"id": f"run{bucket.number}", "state": state}}}


def row_count(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    bucket = world.buckets.get(given["run"])
    return {"project": {"run": {"historyLineCount": bucket.count} if bucket else None}}


def history_page(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    rows = world.buckets[given["run"]].rows
    chosen = [rows[n] for n in sorted(rows) if given["minStep"] <= n < given["maxStep"]]
    return {"project": {"run": {"history": chosen[: given["pageSize"]]}}}


def run_files(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    files = [
        {"name": name, "uploadUrl": f"http://{host}/_upload/{given['run']}/{name}"}
        for name in given["files"]
    ]
    made = {"runID": given["run"], "uploadHeaders": [], "files": files}
    return {"createRunFiles": made}


def create_artifact(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    asked = given["input"]
    made = world.artifacts.setdefault(
        asked["digest"],
        {"id": f"artifact{len(world.artifacts) + 1}", "state": "PENDING", "input": asked},
    )
    made["times"] = made.get("times", 0) + 1
    sequence = {"id": "sequence1", "name": asked["artifactCollectionName"], "latestArtifact": None}
    facts = {"id": made["id"], "state": made["state"], "artifactSequence": sequence}
    return {"createArtifact": {"artifact": facts}}


def create_manifest(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    file = {
        "id": f"file-{given['artifactID']}",
        "uploadUrl": f"http://{host}/_upload/manifest-{given['artifactID']}",
        "uploadHeaders": [],
    }
    made = {"id": f"manifest-{given['artifactID']}", "file": file}
    return {"createArtifactManifest": {"artifactManifest": made}}


def commit_artifact(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    for digest, made in world.artifacts.items():
        if made["id"] == given["artifactID"]:
            made["state"] = "COMMITTED"
            return {"commitArtifact": {"artifact": {"id": made["id"], "digest": digest}}}
    raise KeyError(given["artifactID"])


def artifact_files(world: World, given: dict[str, Any], host: str) -> dict[str, Any]:
    nodes = [
        {
            **{"storagePath": file["name"], "uploadHeaders": [], "uploadMultipartUrls": None},
            "uploadUrl": f"http://{host}/_upload/artifact/{file['artifactID']}/{file['name']}",
            "artifact": {"id": file["artifactID"]},
        }
        for file in given["input"]["artifactFiles"]
    ]
    return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}


_ANSWERS = {
    "CreateArtifactFiles": artifact_files,
    "Viewer": viewer,
    "ServerFeaturesQuery": features,
    "UpsertBucket": upsert,
    "RunResumeStatus": resume_status,
    "RunState": run_state,
    "RowCount": row_count,
    "HistoryPage": history_page,
    "CreateRunFiles": run_files,
    "CreateArtifact": create_artifact,
    "CreateArtifactManifest": create_manifest,
    "CommitArtifact": commit_artifact,
}


def _without_clock(line: str) -> dict[str, Any]:
    """What is the client's own time of sending is no part of a row."""
    own = ("_timestamp", "_runtime")
    return {key: value for key, value in json.loads(line).items() if key not in own}


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    server = Server(("127.0.0.1", int(os.environ.get("LOOPBACK_PORT", "0"))), Handler)
    Handler.world = World(key=os.environ["LOOPBACK_KEY"])
    ready = sys.argv[1]
    with open(f"{ready}.half", "w") as file:
        file.write(f"http://127.0.0.1:{server.server_address[1]}")
    os.replace(f"{ready}.half", ready)
    server.serve_forever()


if __name__ == "__main__":
    main()
