"""What clusters have and who uses it, asked from Ray over HTTP by a thread that no page waits for.

A page gets what was last heard. A cluster that does not answer costs the thread its time, and says
why; runs and their folders are there without any.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.cluster.follow import http_for
from orchestrator.cluster.local import find_local
from orchestrator.errors import OrchestratorError

_EVERY_S = 5.0


class Clusters:
    def __init__(self, address: str | None = None) -> None:
        """`address` is of one that is shown whether a run uses it or not."""
        self._address = address.rstrip("/") if address else None
        self._heard: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, float] = {}  # when it was begun to ask
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def known(self, used: Iterable[str]) -> list[dict[str, Any]]:
        local = find_local()
        own = [self._address, local.address if local else None]
        addresses = sorted({*used, *filter(None, own)})
        with self._lock:
            for address in addresses:
                self._ask_if_due(address)
            return [
                self._heard.get(address, {"address": address, "is_asked": True})
                for address in addresses
            ]

    def _ask_if_due(self, address: str) -> None:
        is_old = time.monotonic() - self._asked.get(address, -_EVERY_S) >= _EVERY_S
        if is_old and address not in self._busy:
            self._asked[address] = time.monotonic()
            self._busy.add(address)
            # Not of a pool, which a program that ends would wait for.
            threading.Thread(target=self._hear, args=(address,), daemon=True).start()

    def _hear(self, address: str) -> None:
        try:
            heard = asdict(http_for(address).load())
        except OrchestratorError as err:
            heard = {"error": err.message, "hint": err.hint}
        except (KeyError, TypeError, ValueError) as err:
            heard = {"error": f"{address} answers as no Ray does that is known here: {err!r}."}
        with self._lock:
            self._heard[address] = {"address": address, **heard}
            self._busy.discard(address)


def asked_by(settings: Mapping[str, Any], job: str) -> dict[str, Any]:
    """What a run holds: workers of one group, or of as many as it has trials at the same time."""
    cluster = dict(settings.get("cluster") or {})
    workers = cluster.get("num_workers") or 1
    if job == "sweep":
        workers *= (settings.get("search") or {}).get("max_concurrent") or 1
    return {
        "workers": workers,
        "cpus": workers * (cluster.get("cpus_per_worker") or 0),
        "gpus": workers * (cluster.get("gpus_per_worker") or 0),
    }
