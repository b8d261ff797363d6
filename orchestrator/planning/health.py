"""What `doctor` looks at: each check is a small value with a verdict and what to do about it."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from orchestrator.cluster.http import RayHttp, find_token
from orchestrator.cluster.local import find_local
from orchestrator.errors import OrchestratorError
from orchestrator.planning.make import check_storage
from orchestrator.runs.storage import LocalStorage
from orchestrator.settings.home import state_home
from orchestrator.settings.secrets import secret_values
from orchestrator.settings.units import format_bytes

_LITTLE_DISK = 2 * 2**30
_LITTLE_SHM = 2**30


@dataclass(frozen=True, kw_only=True)
class Check:
    what: str
    verdict: str  # ok, warning, wrong
    found: str
    do: str = ""


def examine(storage: str | None) -> Iterator[Check]:
    yield _python()
    yield from _packages()
    yield _git()
    yield _storage(storage or os.environ.get("ORCHESTRATOR_STORAGE") or str(Path.cwd() / "runs"))
    yield from _disks()
    yield from _tokens()
    yield _cluster()
    yield _secrets()


def _python() -> Check:
    """Its being old enough is pip's to check; here it is told which one it is."""
    return Check(what="python", verdict="ok", found=f"{sys.version.split()[0]}, {sys.executable}")


def _packages() -> Iterator[Check]:
    """What our own metadata asks for against what is installed."""
    try:
        asked = metadata.requires("orchestrator") or []
    except metadata.PackageNotFoundError:
        yield Check(
            what="packages",
            verdict="warning",
            found="orchestrator runs from a folder, not installed",
            do="make setup, or pip install -e .",
        )
        return
    wrong = [problem for line in asked if (problem := _problem_with(Requirement(line)))]
    if wrong:
        do = "make setup, or pip install what is named."
        yield Check(what="packages", verdict="wrong", found="; ".join(wrong), do=do)
    else:
        versions = [f"{name} {metadata.version(name)}" for name in ("ray", "torch", "deepspeed")]
        yield Check(what="packages", verdict="ok", found=", ".join(versions))


def _problem_with(asked: Requirement) -> str | None:
    if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
        return None
    try:
        version = metadata.version(asked.name)
    except metadata.PackageNotFoundError:
        return f"{asked.name} is missing"
    if asked.specifier.contains(version, prereleases=True):
        return None
    return f"{asked.name} {version} is not {asked.specifier}"


def _git() -> Check:
    path = shutil.which("git")
    if path:
        return Check(what="git", verdict="ok", found=path)
    return Check(
        what="git",
        verdict="warning",
        found="not installed",
        do="Install it, or runs will not record their commit.",
    )


def _storage(uri: str) -> Check:
    try:
        storage, findings = check_storage(uri)
    except OrchestratorError as err:
        return Check(what="storage", verdict="wrong", found=err.message, do=err.hint or "")
    if findings:
        return Check(what="storage", verdict="wrong", found=str(findings[0]), do="--storage …")
    kind = "local" if isinstance(storage, LocalStorage) else "object store"
    return Check(what="storage", verdict="ok", found=f"{uri} ({kind})")


def _disks() -> Iterator[Check]:
    places = {"temporary folder": (Path(tempfile.gettempdir()), _LITTLE_DISK)}
    if Path("/dev/shm").is_dir():
        places["shared memory"] = (Path("/dev/shm"), _LITTLE_SHM)
    for what, (path, least) in places.items():
        free = shutil.disk_usage(path).free
        found = f"{format_bytes(free)} free at {path}"
        if free >= least:
            yield Check(what=what, verdict="ok", found=found)
        else:
            do = f"Ray wants {format_bytes(least)} or more there."
            yield Check(what=what, verdict="warning", found=found, do=do)


def _tokens() -> Iterator[Check]:
    """Token files that others can read; Ray writes its own without care for the mode."""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    files = [Path.home() / ".ray" / "auth_token", state_home() / "cluster-token"]
    for path in [*files, *([Path(named).expanduser()] if named else [])]:
        if not path.is_file():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            yield Check(
                what="token",
                verdict="wrong",
                found=f"{path} has mode {mode:o}: others can read it",
                do=f"chmod 600 {path}",
            )
        else:
            yield Check(what="token", verdict="ok", found=f"{path}, mode {mode:o}")


def _cluster() -> Check:
    address = os.environ.get("RAY_API_SERVER_ADDRESS")
    try:
        local = find_local()
        if address is None and local is None:
            do, found = "orchestrator cluster up, or cluster.address=… with submit.", "none; `run`"
            return Check(what="cluster", verdict="ok", found=f"{found} starts its own Ray", do=do)
        http = local.http() if local else RayHttp(str(address), token=find_token())
        facts = http.facts()
    except OrchestratorError as err:
        return Check(what="cluster", verdict="wrong", found=err.message, do=err.hint or "")
    found = f"{http.address}, Ray {facts.ray_version}, {facts.nodes} nodes, {facts.resources}"
    ours = metadata.version("ray")
    if facts.ray_version != ours:
        do = f"Install ray=={facts.ray_version} here, or {ours} there."
        return Check(what="cluster", verdict="wrong", found=found, do=do)
    return Check(what="cluster", verdict="ok", found=found)


def _secrets() -> Check:
    names = sorted(secret_values())
    found = (
        f"{', '.join(names)} (values are masked in all that is written)" if names else "none set"
    )
    return Check(what="secrets", verdict="ok", found=found)
