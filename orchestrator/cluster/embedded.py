"""How Ray is set up for an attempt: by its environment, since Ray reads it as it is imported.

For a run in the foreground, Ray is embedded: it starts with the attempt, keeps its files in the
driver's scratch folder and ends with it. Called by the driver.
"""

from __future__ import annotations

import io
import os
import secrets
import zipfile
from pathlib import Path

from orchestrator.cluster.place import Place
from orchestrator.runs import layout
from orchestrator.runs.folder import RunFolder
from orchestrator.settings.secrets import mask, secret_values

ADDRESS = "RAY_ADDRESS"
_MAX_FOLDER = 38  # characters; Ray's sockets lie 68 deeper and may have 107
_MAX_LOG_BYTES = 1 << 20
# A team of threads that waits by spinning takes the cores from whom it waits for: beside one busy
# process on two cores, a step took ten times as long.
WAITING = {"OMP_WAIT_POLICY": "passive"}
_OF_GROUPS = ("RAY_CHDIR_TO_TRIAL_DIR", "RAY_TRAIN_", "TORCH_PROCESS_GROUP_")


def ray_environment(place: Place, scratch: Path, shared: str | None = None) -> dict[str, str]:
    """`shared` is the address of an embedded one that this process lives in, with its token."""
    if shared is not None:
        return {ADDRESS: shared}
    environment = {
        "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay in the submitted code
        "RAY_worker_niceness": "0",  # at Ray's 15 whatever else runs on a node slows training down
        "RAY_DEDUP_LOGS": "0",  # it leaves out lines that differ in numbers only: all our figures
        "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it tells every printed line twice
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
        "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",  # for a dead rank it would wait 30 s
        # Ray's page on Train stays empty without it, but it needs a dashboard to ask.
        "RAY_TRAIN_ENABLE_STATE_TRACKING": "1" if place is Place.CLUSTER else "0",
        **{name: os.environ.get(name, value) for name, value in WAITING.items()},
    }
    return environment if place is Place.CLUSTER else environment | _embedded(scratch)


def group_environment() -> dict[str, str]:
    """Of this process's: what an actor elsewhere needs that is to start a group in its place."""
    return {name: value for name, value in os.environ.items() if name.startswith(_OF_GROUPS)}


def unwanted(place: Place) -> tuple[str, ...]:
    """Variables of the caller's that would lead an embedded Ray to somebody else's cluster."""
    return (ADDRESS, "RAY_AUTH_TOKEN") if place is Place.HERE else ()


def keep_ray_logs(scratch: Path, run: RunFolder, attempt: int) -> None:
    """Ray's errors point into its own logs, which are about to go: keep their ends with the run."""
    hidden = secret_values()
    files = [path for path in scratch.glob("ray/session_2*/logs/**/*") if path.is_file()]
    if not files:
        return
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            text = path.read_bytes()[-_MAX_LOG_BYTES:].decode(errors="replace")
            archive.writestr(path.name, mask(text, hidden))
    run.storage.write(layout.ray_logs(attempt), buffer.getvalue())


def _embedded(scratch: Path) -> dict[str, str]:
    token = scratch / "token"
    descriptor = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    environment = {
        # A token of its own; Ray would leave one in the home folder, readable by all.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        # There is no dashboard here. Ray Train's helpers would search the machine for one, for half
        # a minute; an address where nobody listens gives them their answer at once.
        "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:9",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # nobody drains this machine
        "RAY_TRAIN_METRICS_ENABLED": "0",  # nobody collects them
    }
    if len(str(scratch)) <= _MAX_FOLDER:
        environment["RAY_TMPDIR"] = str(scratch)
    return environment
