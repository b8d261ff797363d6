"""Where a run comes from: commit and dirty diff, package versions, host, parent. Written once."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from orchestrator import __version__
from orchestrator.runs.code import SECRET_FILES
from orchestrator.settings.secrets import mask

SCHEMA = "orchestrator.lineage/1"
_MAX_DIFF = 512 * 1024  # characters; the whole code is in code.zip anyway
# Packages whose version can change a result; compared between the plan and every worker.
PACKAGES = (
    *("ray", "torch", "deepspeed", "transformers", "tokenizers", "datasets", "numpy", "pyarrow"),
    *("wandb", "hydra-core", "omegaconf", "scikit-learn", "scipy", "optuna", "peft"),
)


def package_versions() -> dict[str, str]:
    """Installed versions without local labels: `2.13.0+cpu` and `2.13.0+cu130` are one version."""
    versions = {"python": platform.python_version(), "orchestrator": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return versions


def gather(working_dir: Path) -> dict[str, Any]:
    """All that can be known without the plan; `create` adds the run's own facts."""
    return {
        "schema": SCHEMA,
        "time": round(time.time(), 3),
        "user": _user(),
        "command": [mask(word) for word in sys.argv],
        "working_dir": str(working_dir),
        "host": {
            "name": socket.gethostname(),
            "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "packages": package_versions(),
        "git": git_facts(working_dir),
    }


def git_facts(folder: Path) -> dict[str, Any] | None:
    """None outside of a git checkout, or where git is not installed."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = _git(folder, "status", "--porcelain") or ""
    # All of the checkout but those files that code.zip leaves out for what they may hold.
    shown = [":/", *(f":(top,exclude,glob)**/{pattern}" for pattern in SECRET_FILES)]
    diff = mask(_git(folder, "diff", "--no-color", "--no-ext-diff", "HEAD", "--", *shown) or "")
    remote = _git(folder, "config", "--get", "remote.origin.url") or ""
    return {
        "commit": commit.strip(),
        "branch": (_git(folder, "rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        "remote": re.sub(r"//[^/@]+@", "//", remote.strip()),
        "is_dirty": bool(status.strip()),
        "changed": [line[3:] for line in status.splitlines()][:200],
        "diff": diff[:_MAX_DIFF],
        "diff_is_cut": len(diff) > _MAX_DIFF,
    }


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.decode(errors="replace")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's uid without a name
        return str(os.getuid())
