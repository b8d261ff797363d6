"""DeepSpeed's universal form of a checkpoint: a file for each parameter and moment, for any world.

It is made once, in a process of its own, and kept in the checkpoint's folder, with which it goes.
It is there when its list of files is, which is written last.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import StorageError
from orchestrator.runs import layout
from orchestrator.runs.storage import LocalStorage, Storage

_LIST = "FILES"


class Universal:
    def __init__(self, run: Storage, step: int) -> None:
        self._step = step
        self._storage = run.child(layout.universal(step))

    def make(self, source: Callable[[], Path]) -> None:
        """Where it is not there yet. `source` gives the folder with the files of all ranks."""
        storage = self._storage
        if storage.exists(_LIST):
            return
        storage.remove("")  # what an attempt that died had made of it
        if isinstance(storage, LocalStorage):
            _convert(source(), storage.path(), self._step)
            files = _files(storage.path())
        else:
            with tempfile.TemporaryDirectory(prefix="orchestrator-universal-") as scratch:
                _convert(source(), Path(scratch), self._step)
                files = _files(Path(scratch))
                for name in files:
                    storage.write(name, (Path(scratch) / name).read_bytes())
        storage.write(_LIST, json.dumps(files).encode())

    def fetch(self, folder: Path) -> Path:
        """On this node: where it lies, or a copy."""
        storage = self._storage
        files = json.loads(storage.read(_LIST))
        if isinstance(storage, LocalStorage):
            return storage.path()
        for name, size in files.items():
            data = storage.read(name)
            if len(data) != size:
                where = storage.uri_of(name)
                raise StorageError(f"{where} has {len(data):,} bytes of {size:,}.")
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        return folder


def _files(folder: Path) -> dict[str, int]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in paths}


def _convert(source: Path, target: Path, step: int) -> None:
    command = [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal"]
    command += ["--input_folder", str(source), "--output_folder", str(target)]
    command += ["--inject_missing_state", "--num_extract_workers", "1", "--num_merge_workers", "1"]
    environment = os.environ | {"DS_ACCELERATOR": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StorageError(
            f"The checkpoint of step {step} cannot be converted for another number of workers: "
            f"{said}."
        )
