"""Files end to end in one range of addresses, so that one index reaches into all of them.

A window's documents lie in thousands of shards: arrays of each file apart would cost a loop over
the files, here one gather is enough. A file is mapped when it is first reached, over its part of a
range that was set aside; no descriptor stays open. `read.py` reads corpora through it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orchestrator.corpus.arrays import Int64s, offsets
from orchestrator.errors import StorageError

_MAP_FIXED = 0x10  # on Linux and on macOS; Python's mmap does not name it
_MAPPED_AT_MOST = 2**14  # of 65,530 that Linux allows to a process

# Python's mmap chooses the address itself, so the system's own is called.
_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]


class Region:
    """Read-only. Bytes of a file that was not reached, or long ago, are zeros."""

    def __init__(
        self,
        paths: Sequence[Path],
        sizes: Sequence[int],
        *,
        mapped_at_most: int = _MAPPED_AT_MOST,
    ) -> None:
        self._paths = paths
        self._sizes_F = np.asarray(sizes, np.int64)
        page = mmap.ALLOCATIONGRANULARITY
        begins_F1 = offsets(-(-self._sizes_F // page) * page)
        self.begins_F = begins_F1[:-1]
        room = mmap.mmap(
            -1,
            max(int(begins_F1[-1]), page),
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            prot=mmap.PROT_READ,
        )
        self.bytes = np.frombuffer(room, np.uint8)
        self._address = self.bytes.ctypes.data
        self._mapped_at_most = mapped_at_most
        self._reached_F = np.zeros(len(paths), np.int64)  # in which call last; 0: is not mapped
        self._num_calls = 0

    def reach(self, files: Int64s) -> None:
        """Map these. Those that were reached longest ago go where there would be too many."""
        self._num_calls += 1
        is_missing_F = np.zeros(len(self._paths), np.bool_)
        is_missing_F[files] = True
        is_missing_F &= self._reached_F == 0
        missing = np.flatnonzero(is_missing_F)
        self._reached_F[files] = self._num_calls
        if not len(missing):
            return
        surplus = int((self._reached_F > 0).sum()) - self._mapped_at_most
        if surplus > 0:
            old = np.flatnonzero((self._reached_F > 0) & (self._reached_F < self._num_calls))
            for number in old[np.argsort(self._reached_F[old], kind="stable")][:surplus].tolist():
                self._map(number, -1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
                self._reached_F[number] = 0
        self._reached_F[missing] = 0  # until they are mapped
        for number in missing.tolist():
            self._map_file(number)
            self._reached_F[number] = self._num_calls

    def _map_file(self, number: int) -> None:
        path, size = self._paths[number], int(self._sizes_F[number])
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                found = os.fstat(descriptor).st_size
                if found != size:  # reading behind the end of a file would end the process
                    raise StorageError(f"{path} has {found:,} bytes by now, not {size:,}.")
                self._map(number, descriptor, mmap.MAP_SHARED)
            finally:
                os.close(descriptor)
        except OSError as err:
            raise StorageError(f"{path} cannot be read: {os.strerror(err.errno or 0)}.") from err

    def _map(self, number: int, descriptor: int, flags: int) -> None:
        address = self._address + int(self.begins_F[number])
        size = int(self._sizes_F[number])
        found = _mmap(address, size, mmap.PROT_READ, flags | _MAP_FIXED, descriptor, 0)
        if found != address:
            raise OSError(ctypes.get_errno(), "mmap")
