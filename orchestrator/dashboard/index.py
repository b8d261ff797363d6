"""Every run of a storage as one line of a table, kept in memory and read again where it changed.

A run that is over costs one look at a folder's time; a live one, the lines that came since.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.errors import NotFoundError, OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.archive import Archive
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.lease import Holder, read_holder
from orchestrator.runs.ledger import Event, LedgerReader
from orchestrator.runs.segments import SegmentName
from orchestrator.runs.state import Status, derive
from orchestrator.tracking.progress import Progress, read_progress
from orchestrator.tracking.system import is_system

_FRESH_S = {True: 0.5, False: 5.0}  # local disk, object store
_LOOK_AGAIN_S = 30.0  # at a run that is over, where folders have no time of their own
_TICK_S = 2.0
_TAIL_BYTES = 32 * 1024
_LATEST = {"train/loss": "loss", "train/tokens_per_s": "tokens_per_s", "eval/loss": "eval_loss"}
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Known:
    """What was read of one run so far."""

    name: str  # the run's id; of a run inside of another `ID~0007`
    folder: RunFolder
    facts: Mapping[str, Any]  # of job.yaml and lineage.json, which never change
    ledger: LedgerReader
    events: list[Event] = field(default_factory=list)
    holder: Holder | None = None
    status: Status = field(default_factory=Status)
    progress: Progress | None = None
    latest: dict[str, float] = field(default_factory=dict)
    changed: float = -1.0  # the time of its events' folder
    looked: float = 0.0

    @property
    def is_settled(self) -> bool:
        return self.status.state.is_over and not self.status.is_lost

    def row(self) -> dict[str, Any]:
        status, latest = self.status, self.latest
        steps = self.progress if self.progress and self.progress.unit == "steps" else None
        return {
            "id": self.name,
            **{name: value for name, value in self.facts.items() if name != "settings"},
            "state": status.state.value,
            "is_over": status.state.is_over,
            "reason": status.reason.partition("\n")[0][:200],
            "attempt": status.attempt,
            "step": latest.get("step") or (steps.done if steps else None),
            "steps": steps.total if steps else self.facts["budget_steps"],
            "stage": self.progress.stage if self.progress else "",
            **{name: latest.get(name) for name in ("loss", "eval_loss", "tokens_per_s", "tokens")},
            **{"created": status.created, "started": status.started, "ended": status.ended},
            "tags": list(status.tags),
        }


class Index:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: dict[str, Known] = {}
        self._lock = threading.Lock()
        self._refreshed = 0.0
        self._body = b"[]"
        self._pool = ThreadPoolExecutor(max_workers=1 if archive.storage.is_local else 16)

    def rows(self) -> list[dict[str, Any]]:
        """Newest first."""
        with self._lock:
            self._refresh()
            return [known.row() for known in reversed(self._known.values())]

    def get(self, run_id: str) -> Known:
        """By its whole id, and only if the storage lists it: a request never names a path."""
        with self._lock:
            self._refresh()
            if run_id not in self._known:
                raise NotFoundError(f"There is no run {run_id} in {self._archive.storage.uri}.")
            return self._known[run_id]

    def forget_time(self) -> None:
        """The next request reads again: something was done to a run just now."""
        self._refreshed = 0.0

    def close(self) -> None:
        self._pool.shutdown()

    def _refresh(self) -> None:
        if time.monotonic() - self._refreshed < _FRESH_S[self._archive.storage.is_local]:
            return
        ids = self._archive.ids()
        found = list(self._pool.map(self._look, ids))
        self._known = {id_: known for id_, known in zip(ids, found, strict=True) if known}
        self._refreshed = time.monotonic()

    def _look(self, run_id: str) -> Known | None:
        known = self._known.get(run_id)
        try:
            if known is None:
                folder = RunFolder(self._archive.storage, run_id)
                known = open_known(run_id, folder)
            _read_again(known)
        except NotFoundError:  # deleted since it was listed
            return None
        except OrchestratorError as err:
            if known is None:
                return None
            known.status = Status(reason=err.message)
        return known


def open_known(name: str, folder: RunFolder) -> Known:
    return Known(name, folder, facts_of(folder), LedgerReader(folder.storage))


def _read_again(known: Known) -> None:
    run = known.folder.storage
    events = run.find(layout.EVENTS)
    changed = events.modified if events and run.is_local else 0.0
    now = time.time()
    if known.is_settled and known.changed == changed:
        # A folder's time has ticks: what comes within the last one looks like what was there.
        is_same = now - changed > _TICK_S if run.is_local else now - known.looked < _LOOK_AGAIN_S
        if is_same:
            return
    known.changed, known.looked = changed, now
    known.events += known.ledger.read_new()
    known.holder = read_holder(run)
    known.status = derive(known.events, known.holder)
    known.progress = read_progress(run)
    known.latest |= latest_figures(known.folder, known.status.attempt)


def facts_of(folder: RunFolder) -> dict[str, Any]:
    """Of runs of any version: what cannot be read is empty, not an error."""
    settings, kind, parent = {}, "", None
    with suppress(yaml.YAMLError, OrchestratorError, KeyError, TypeError, ValueError):
        plain = yaml.load(folder.storage.read(layout.JOB), Loader=_Loader)
        settings, kind = dict(plain["settings"]), str(plain["kind"])
        parent = (folder.lineage().get("parent") or {}).get("run")
    model = settings.get("model") or {}
    budget = settings.get("budget") or {}
    return {
        "job": kind,
        "model": _model(model) if isinstance(model, dict) else str(model),
        "note": settings.get("note") or "",
        "budget_steps": budget.get("steps") if isinstance(budget, dict) else None,
        "parent": parent,
        "group": parent or "",
        "settings": settings,
    }


def _model(model: Mapping[str, Any]) -> str:
    """Its family and size: `bert 4×256`."""
    if not model.get("family"):
        return ""
    return f"{model['family']} {model.get('layers', '?')}×{model.get('hidden', '?')}"


def latest_figures(folder: RunFolder, attempt: int) -> dict[str, float]:
    """The newest figures, from the ends of the newest attempt's files."""
    run, found = folder.storage, dict[str, float]()
    for entry in run.list(layout.METRICS):
        name = SegmentName.parse(entry.name)
        if name is None or name.attempt != attempt or is_system(name.writer):
            continue
        start = max(0, entry.size_bytes - _TAIL_BYTES)
        lines = run.read(f"{layout.METRICS}/{entry.name}", start=start).split(b"\n")[:-1]
        for line in reversed(lines[1:] if start else lines):
            if set(_LATEST.values()) <= set(found):
                break
            _take(found, line)
    return found


def _take(found: dict[str, float], line: bytes) -> None:
    try:
        plain = json.loads(line)
        for name in ("step", "tokens"):
            found[name] = max(found.get(name, 0), plain[name])
        for name, short in _LATEST.items():
            if plain["values"].get(name) is not None:
                found.setdefault(short, plain["values"][name])
    except (ValueError, KeyError, TypeError):
        return
