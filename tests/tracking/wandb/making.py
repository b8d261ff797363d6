"""Real parts for these tests: a server's other side, a run that grows, forwarders of a node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.runs.folder import RunFolder
from orchestrator.settings.tracking import Mode, Tracking
from orchestrator.tracking.metrics import MetricsWriter
from orchestrator.tracking.wandb.forwarder import Forwarder, forward_command
from orchestrator.tracking.wandb.report import Report, read_report

KEY = "planted" + "0123456789" * 3 + "abc"  # as long as a key of W&B
BRISK = {"poll_s": 0.1, "check_s": 1.0, "stall_s": 6.0, "settle_s": 5.0}


@dataclass(kw_only=True)
class Loopback:
    """The server's other side."""

    url: str
    process: subprocess.Popen[bytes]

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_state", timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
        return state

    def fault(self, **fault: Any) -> None:
        body = json.dumps(fault).encode()
        request = urllib.request.Request(f"{self.url}/_fault", body)
        urllib.request.urlopen(request, timeout=10).close()

    def bucket(self, run: str) -> dict[str, Any]:
        bucket: dict[str, Any] = self.state()["runs"][run]
        assert not bucket["conflicts"], "rows were written over with others"
        assert list(bucket["rows"]) == [str(n) for n in range(len(bucket["rows"]))]
        return bucket

    def rows(self, run: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.bucket(run)["rows"].values()]

    def wait_for_rows(self, run: str, count: int, within_s: float = 40.0) -> None:
        deadline = time.monotonic() + within_s
        while len(self.state()["runs"].get(run, {}).get("rows", ())) < count:
            assert time.monotonic() < deadline, f"W&B never got {count} rows of {run}"
            time.sleep(0.05)


def start_loopback(folder: Path, port: int = 0) -> Loopback:
    """`port` for one that comes back where another was. Whoever starts it kills it."""
    ready = folder / "url"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("loopback.py")), str(ready)],
        env=os.environ | {"LOOPBACK_KEY": KEY, "LOOPBACK_PORT": str(port)},
    )
    deadline = time.monotonic() + 20
    while not ready.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return Loopback(url=ready.read_text(), process=process)


def node_of(server: Loopback, home: Path) -> dict[str, str]:
    """What the environment of a driver's node says of W&B."""
    return {
        "WANDB_BASE_URL": server.url,
        "WANDB_CONFIG_DIR": str(home / "config"),
        "WANDB_API_KEY": KEY,
    }


@dataclass(kw_only=True)
class Writing:
    """A run whose ranks write: as the ranks of a group do, without them."""

    folder: RunFolder

    @property
    def id(self) -> str:
        return self.folder.id

    def steps(self, first: int, last: int, *, attempt: int = 1, writer: str = "rank-000") -> None:
        with closing(MetricsWriter(self.folder.storage, attempt=attempt, writer=writer)) as metrics:
            for step in range(first, last + 1):
                own = figures(step) if writer == "rank-000" else {f"system/{writer}/cpu": step}
                metrics.write(step, own, tokens=100 * step)

    def end(self, kind: str = "finished", *, attempt: int = 1) -> None:
        self.folder.note("submitted", attempt=attempt, place="here")
        self.folder.note(kind, attempt=attempt, reason="as asked")

    def report(self) -> Report:
        report = read_report(self.folder.storage)
        assert report is not None
        return report


def figures(step: int) -> dict[str, float]:
    return {"train/loss": 10.0 / (step + 1), "train/lr": 1e-4 * step}


@dataclass(kw_only=True)
class Forwarders:
    """Starts forwarders of one node; none is left when the test ends."""

    environment: dict[str, str]
    home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    kept: list[Forwarder] = field(default_factory=list)

    def command(self, run: Writing, *more: str, **tracking: Any) -> list[str]:
        settings = Tracking(**({"project": "encoders", "mode": Mode.ONLINE} | tracking))
        pace = ["--pace", json.dumps(BRISK)]
        return forward_command(run.folder.uri, settings, *pace, *more)

    def start(self, run: Writing, *more: str, **tracking: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(run, *more, **tracking),
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[str], within_s: float = 40.0) -> tuple[int, str]:
        """As a driver does; the exit code and what was said."""
        said, _ = process.communicate(timeout=within_s)
        return process.returncode, said

    def send(self, run: Writing, *more: str, **tracking: Any) -> None:
        """All that is there by now."""
        code, said = self.end(self.start(run, "--once", *more, **tracking))
        assert code == 0, said

    def keep(self, run: Writing, **tracking: Any) -> Forwarder:
        """As a driver has it: started again when it dies."""
        command = ["env", *[f"{k}={v}" for k, v in self.environment.items()]]
        kept = Forwarder(command=[*command, *self.command(run, **tracking)], first_wait_s=0.2)
        self.kept.append(kept)
        return kept
