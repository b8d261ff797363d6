"""What a local disk can do and an object store cannot: whole files that last, made by one only."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.settings.units import format_bytes

# File systems that every node of a cluster can mount, as /proc/mounts calls them.
_SHARED = re.compile(r"nfs4?|lustre|gpfs|beegfs|ceph|cifs|smb3?|9p|virtiofs|fuse\..*|wekafs|pvfs2")

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


_HALF = re.compile(r"\..+\.[0-9a-f]{8}")


class HalfFile:
    """A file that is being written, under a name that no listing shows until it is kept."""

    def __init__(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        self._target = target
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fsync(self._descriptor)
        self._close()

    def keep(self) -> None:
        self.sync()
        os.replace(self.path, self._target)
        _sync_folder(self._target.parent)

    def drop(self) -> None:
        self._close()
        self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def remove_halves(folder: Path) -> None:
    """What writers that were killed left below it. Only for its owner, when nobody writes there."""
    for path in folder.rglob(".*"):
        if _HALF.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes) -> None:
    with _half_written(target, data) as half:
        os.replace(half, target)
        _sync_folder(target.parent)


def create_whole(target: Path, data: bytes) -> bool:
    """False where it exists already: the link is what only one caller can make."""
    with _half_written(target, data) as half:
        try:
            os.link(half, target)
        except FileExistsError:
            return False
        except OSError as err:
            if err.errno not in _NO_LINKS:
                raise
            return _create_exclusively(target, data)
        _sync_folder(target.parent)
        return True


def _create_exclusively(target: Path, data: bytes) -> bool:
    """For file systems without hard links: still made by one only, though not whole at once."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return True


def move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(source, target)
    _sync_folder(target.parent)
    _sync_folder(source.parent)


def is_shared(path: Path) -> bool:
    """Whether other nodes can mount it, judged by the kind of file system."""
    return bool(_SHARED.fullmatch(_mount_kind(path.resolve())))


def explain(where: str, err: OSError, wanted: int) -> str:
    """In our words; `wanted` is how many bytes were to be written."""
    if err.errno == errno.ENOSPC or "No space left" in str(err):
        parent = where
        while not os.path.exists(parent) and parent not in ("", "/"):
            parent = os.path.dirname(parent)
        free = shutil.disk_usage(parent).free if os.path.exists(parent) else 0
        sizes = f"{format_bytes(wanted)} wanted, {format_bytes(free)} free"
        return f"{where}: no space left on the device ({sizes})."
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where} cannot be written: {os.strerror(err.errno).lower()}."
    if err.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{where} is below something that is not a folder."
    return f"{where}: {first_line(err)}."


def first_line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0].rstrip(".")


@contextmanager
def _half_written(target: Path, data: bytes) -> Iterator[Path]:
    """The bytes on the disk, and gone whatever happens unless they got another name."""
    half = HalfFile(target)
    try:
        half.write(data)
        half.sync()
        yield half.path
    finally:
        half.drop()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mount_kind(path: Path) -> str:
    """The file system type of the longest mount point above `path`; empty where nobody tells."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, escaped, type_, *_ = line.split()
        # Spaces in it are written \040.
        point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), escaped)
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, type_
    return kind
