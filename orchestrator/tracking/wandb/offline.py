"""W&B's own files of a run that is followed offline: `<run>/wandb/offline-run-…/`.

Each forwarder writes all rows again from the first, so the newest folder alone is the whole run.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.runs.storage import LocalStorage, Storage
from orchestrator.tracking.wandb import places

_PREFIX = "offline-run-"


class Offline:
    def __init__(self, run: Storage) -> None:
        self._run = run

    def folders(self) -> list[str]:
        entries = self._run.list(places.FOLDER)
        return [entry.name for entry in entries if entry.name.startswith(_PREFIX)]

    def keep_newest(self) -> None:
        """A forwarder that ends early again and again must not fill the disk."""
        for name in self.folders()[:-1]:
            self._run.remove(f"{places.FOLDER}/{name}")

    def keep_only(self, folder: Path) -> None:
        """Once it is finished: those of forwarders before it are in it, too."""
        if not isinstance(self._run, LocalStorage):
            for file in folder.glob("*.wandb"):
                self._run.write(f"{places.FOLDER}/{folder.name}/{file.name}", file.read_bytes())
        for name in self.folders():
            if name != folder.name:
                self._run.remove(f"{places.FOLDER}/{name}")
