"""A persistent one-machine Ray for `submit`: `orchestrator cluster up | down | status`.

Its processes share one session of the operating system, so that `down` ends those and no others.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from orchestrator.cluster.http import RayHttp
from orchestrator.cluster.sessions import end, others_in_session
from orchestrator.errors import ClusterError
from orchestrator.settings.home import state_home

_RECORD = "cluster.json"
_USUAL_PORT = 8265
_UP_WITHIN_S = 90.0
_STOP_WITHIN_S = 150.0
_DOWN_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True)
class LocalCluster:
    address: str
    pid: int  # of the `ray start --block` process, which leads the session
    pid_started: float
    started: float
    token_file: str
    log: str
    files: str = ""  # Ray's own, removed by `down`

    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.pid_started) < 1.0
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False

    def http(self) -> RayHttp:
        try:
            token = Path(self.token_file).read_text().strip()
        except OSError as err:
            raise ClusterError(
                f"The token of the local cluster is not there: {self.token_file} ({err.strerror}).",
                hint="Put it back; or `orchestrator cluster down`, and start another.",
            ) from err
        return RayHttp(self.address, token=token)

    def processes(self) -> list[psutil.Process]:
        """Everything in the session that `up` began, and the jobs and workers below it."""
        if not self.is_alive():
            return []
        session = [psutil.Process(self.pid), *others_in_session(self.pid)]
        found = {process.pid: process for process in session}
        for process in session:
            with suppress(psutil.NoSuchProcess):
                found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())


def find_local() -> LocalCluster | None:
    """The cluster that `up` started, if it still lives; a stale record is cleared away."""
    record = state_home() / _RECORD
    try:
        plain = json.loads(record.read_text())
        known = {field.name for field in fields(LocalCluster)}
        cluster = LocalCluster(**{name: plain[name] for name in known & set(plain)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as err:
        raise ClusterError(
            f"{record} cannot be read ({err}), so the local cluster is not known.",
            hint="If none runs (`ps` shows no `ray start`), delete that file.",
        ) from err
    if cluster.is_alive():
        return cluster
    _forget(cluster)
    return None


def up(*, port: int | None, num_cpus: int | None, say: Callable[[str], None]) -> LocalCluster:
    home = state_home()
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two that start at once, one finds the other's
        if existing := find_local():
            say(f"It is up already: {existing.address}, process {existing.pid}.")
            return existing
        cluster, process = _start(home, port, num_cpus)
        say(f"Starting Ray with its dashboard on {cluster.address} …")
        try:
            # Known from its first moment: `down` must find it even if we are killed right now.
            _write_private(home / _RECORD, json.dumps(asdict(cluster)))
            _wait_until_ready(cluster, process)
        except BaseException:
            _end(cluster)
            _forget(cluster)
            raise
    return cluster


def _start(
    home: Path, port: int | None, num_cpus: int | None
) -> tuple[LocalCluster, subprocess.Popen[bytes]]:
    token_file, log = home / "cluster-token", home / "cluster.log"
    _write_private(token_file, secrets.token_hex(32))
    files = tempfile.mkdtemp(prefix="orchestrator-cluster-")
    ports = _free_ports(3)
    if port is None and _is_free(_USUAL_PORT):
        port = _USUAL_PORT
    dashboard = port or ports[0]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*_ray_start(dashboard, ports[1], ports[2], num_cpus), f"--temp-dir={files}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment(token_file),
            cwd=home,
        )
    cluster = LocalCluster(
        address=f"http://127.0.0.1:{dashboard}",
        pid=process.pid,
        pid_started=psutil.Process(process.pid).create_time(),
        started=time.time(),
        token_file=str(token_file),
        log=str(log),
        files=files,
    )
    return cluster, process


def down(cluster: LocalCluster, *, say: Callable[[str], None]) -> int:
    """Stops the runs that it runs, then ends its processes and no others; how many there were."""
    try:
        _stop_jobs(cluster.http(), say)
    except ClusterError as err:
        say(err.message)
    count = _end(cluster)
    _forget(cluster)
    return count


def _forget(cluster: LocalCluster) -> None:
    for path in (state_home() / _RECORD, Path(cluster.token_file)):
        path.unlink(missing_ok=True)
    if cluster.files:
        shutil.rmtree(cluster.files, ignore_errors=True)


def _end(cluster: LocalCluster) -> int:
    processes = cluster.processes()
    if cluster.is_alive():
        os.kill(cluster.pid, signal.SIGTERM)
    end(processes, grace_s=_DOWN_WITHIN_S)
    return len(processes)


def _stop_jobs(http: RayHttp, say: Callable[[str], None]) -> None:
    """Each at its next safe point: a run that is on the cluster can be resumed on the next one."""
    running = [job["submission_id"] for job in http.jobs() if _lives(job)]
    for submission in running:
        say(f"Stopping {submission} …")
        http.stop_job(submission)
    deadline = time.monotonic() + _STOP_WITHIN_S
    while any(_lives(job) for job in http.jobs()):
        if time.monotonic() > deadline:
            say(f"Some did not stop within {_STOP_WITHIN_S:.0f} s and are ended.")
            return
        time.sleep(0.3)


def _lives(job: dict[str, Any]) -> bool:
    return bool(job["submission_id"]) and job["status"] in ("PENDING", "RUNNING")


def _wait_until_ready(cluster: LocalCluster, process: subprocess.Popen[bytes]) -> None:
    """Ready means: jobs can be submitted and a node is there."""
    http = cluster.http()
    deadline = time.monotonic() + _UP_WITHIN_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            raise ClusterError(f"Ray ended with exit code {code}. {_last_words(cluster)}")
        with suppress(ClusterError):  # it is not there yet
            if http.facts().nodes and http.jobs() is not None:
                return
        time.sleep(0.2)
    raise ClusterError(f"Ray did not start within {_UP_WITHIN_S:.0f} s. {_last_words(cluster)}")


def _last_words(cluster: LocalCluster) -> str:
    lines = Path(cluster.log).read_text(errors="replace").splitlines()[-5:]
    return "Its last words:\n  " + "\n  ".join(lines)


def _ray_start(dashboard: int, agent: int, client: int, num_cpus: int | None) -> list[str]:
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block"]
    command += ["--port=0", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += ["--include-dashboard=true", "--disable-usage-stats"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
    # Workers take any free port: Ray's fixed range would clash with a second cluster's.
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    return command + ([f"--num-cpus={num_cpus}"] if num_cpus is not None else [])


def _environment(token_file: Path) -> dict[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_JOB_CONFIG_JSON_ENV_VAR")
    }
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return inherited | {
        "PATH": programs,  # so that `python` in a job is the Python that has this package
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
        # `down` has stopped the jobs already; else Ray waits 30 s for actors that stay.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


def _write_private(path: Path, text: str) -> None:
    """Mode 600 from the first moment, whatever the umask."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _free_ports(count: int) -> list[int]:
    """Free now, and all different: the sockets are closed only when all are known."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0
