"""From a run's own URI to its folder: how a driver and a worker find the run they belong to."""

from __future__ import annotations

from urllib.parse import urlsplit

from orchestrator.errors import NotFoundError, RequestError
from orchestrator.runs import ids
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import open_storage


def open_run(uri: str) -> RunFolder:
    storage, run_id = split_uri(uri)
    run = RunFolder(open_storage(storage), run_id)
    if not run.exists():
        raise NotFoundError(f"There is no run at {uri} (no job.yaml), as seen from this node.")
    return run


def split_uri(uri: str) -> tuple[str, str]:
    """A run's URI → its storage's, and its id. What follows a `?` belongs to the storage."""
    is_path = "://" not in uri  # there, ? and # are letters like others
    path = uri if is_path else urlsplit(uri).path
    parent, _, run_id = path.rstrip("/").rpartition("/")
    if not ids.is_id(run_id):
        raise RequestError(f"{uri} is not a run's folder: {run_id!r} is not a run's id.")
    where = parent or ("/" if path.startswith("/") else ".")
    return (where if is_path else urlsplit(uri)._replace(path=where).geturl()), run_id
