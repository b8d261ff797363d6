"""One door to local paths and object stores: whole-file writes that are atomic, listing, removal.

A `Storage` is a root; every path is relative to it. Local disks go through `os` (exclusive create,
fsync, append), the rest through pyarrow's file systems, which offer none of the three.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pyarrow import fs

from orchestrator.errors import NotFoundError, RequestError, StorageError
from orchestrator.runs import disk, s3
from orchestrator.runs.writer import FileWriter, Upload

_CHUNK_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class Entry:
    name: str
    is_dir: bool
    size_bytes: int
    modified: float  # seconds since the epoch


class Storage:
    """Use `open_storage(uri)`."""

    def __init__(self, uri: str, filesystem: fs.FileSystem, root: str) -> None:
        self.uri = uri
        self._fs = filesystem
        self._root = root.rstrip("/")

    is_local = False
    copy_limit_bytes = 5 * 2**30  # what a store copies by itself in one request

    def child(self, path: str) -> Storage:
        return type(self)(self.uri_of(path), self._fs, self._at(path or "."))

    def uri_of(self, path: str) -> str:
        split = urlsplit(self.uri)
        return split._replace(path=f"{split.path.rstrip('/')}/{quote(path)}").geturl()

    def read(self, path: str, *, start: int = 0, size: int | None = None) -> bytes:
        """Bytes from `start`; fewer than `size` (or none) where the file ends before."""
        with self.explained(path), self._fs.open_input_file(self._at(path)) as file:
            if start >= file.size():
                return b""
            file.seek(start)
            return bytes(file.read(size))

    def open_file(self, path: str) -> Any:
        """pyarrow's, to be closed: for what is too large for memory. Read it `explained`."""
        with self.explained(path):
            return self._fs.open_input_file(self._at(path))

    def find(self, path: str) -> Entry | None:
        with self.explained(path):
            info = self._fs.get_file_info(self._at(path))
        return None if info.type == fs.FileType.NotFound else _entry(info)

    def write(self, path: str, data: bytes) -> None:
        """All of it or nothing: no reader ever sees half a file."""
        with (
            self.explained(path, wanted=len(data)),
            self._fs.open_output_stream(self._at(path), compression=None) as stream,
        ):
            stream.write(data)

    def open_writer(self, path: str) -> FileWriter:
        """For what is too large for memory: as whole as `write`, piece by piece."""
        at = self._at(path)
        return FileWriter(lambda: Upload(self._fs, at), partial(self.explained, path))

    def create(self, path: str, data: bytes) -> bool:
        """Write unless it exists. Without an exclusive create this can be raced: read back."""
        if self.exists(path):
            return False
        self.write(path, data)
        return True

    def exists(self, path: str) -> bool:
        return self.find(path) is not None

    def size(self, path: str) -> int:
        """0 where there is nothing."""
        return found.size_bytes if (found := self.find(path)) else 0

    def list(self, path: str = "") -> list[Entry]:
        """Sorted by name; empty when there is no such folder."""
        selector = fs.FileSelector(self._at(path), allow_not_found=True)
        with self.explained(path):
            infos = self._fs.get_file_info(selector)
        return sorted(map(_entry, infos), key=lambda entry: entry.name)

    def remove(self, path: str) -> None:
        """A file or a whole folder; nothing happens where there is none."""
        with self.explained(path):
            kind = self._fs.get_file_info(self._at(path)).type
            if kind == fs.FileType.Directory:
                self._fs.delete_dir(self._at(path))
            elif kind == fs.FileType.File:
                self._fs.delete_file(self._at(path))

    def move(self, path: str, target: str) -> None:
        """A file or a whole folder, to where nothing is. A store copies each file and removes it:
        where that ends halfway, doing it again goes on.
        """
        found = self.find(path)
        if found is None:
            raise NotFoundError(f"{self.uri_of(path)} does not exist.")
        if found.is_dir:
            for entry in self.list(path):
                self.move(f"{path}/{entry.name}", f"{target}/{entry.name}")
        elif found.size_bytes > self.copy_limit_bytes:
            self._stream(path, target)
        else:
            with self.explained(target):
                self._fs.copy_file(self._at(path), self._at(target))
        self.remove(path)

    def _stream(self, path: str, target: str) -> None:
        writer = self.open_writer(target)
        try:
            with self.explained(path), self._fs.open_input_file(self._at(path)) as file:
                while data := file.read(_CHUNK_BYTES):
                    writer.write(data)
        except BaseException:
            writer.abandon()
            raise
        writer.close()

    def has_container(self) -> bool:
        """Whether the bucket exists: without one, listing just finds nothing."""
        if urlsplit(self.uri).scheme not in ("s3", "gs", "gcs"):
            return True
        with self.explained(""):
            bucket = self._fs.get_file_info(self._root.partition("/")[0])
            return bool(bucket.type != fs.FileType.NotFound)

    def check_writable(self) -> str | None:
        """Why nothing can be written here, or None. Leaves no file behind."""
        path = f".write-check-{uuid.uuid4().hex[:8]}"
        try:
            self.write(path, b"x")
            self.remove(path)
        except (StorageError, NotFoundError) as err:
            return err.message
        return None

    def _at(self, path: str) -> str:
        if path and ("\0" in path or {"", ".", ".."} & set(path.split("/"))):
            raise RequestError(f"{path!r} does not name anything below {self.uri}.")
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def explained(self, path: str, *, wanted: int = 0) -> Iterator[None]:
        """Errors of the file system, in our words, with the whole path and the bytes to write."""
        try:
            yield
        except FileNotFoundError as err:
            raise NotFoundError(f"{self.uri_of(path)} does not exist.") from err
        except OSError as err:
            raise StorageError(disk.explain(self.uri_of(path), err, wanted)) from err


class LocalStorage(Storage):
    is_local = True

    def child(self, path: str) -> LocalStorage:
        root = self._at(path or ".")
        return LocalStorage(root, self._fs, root)

    def uri_of(self, path: str) -> str:
        return f"{self.uri.rstrip('/')}/{path}"

    def path(self, path: str = "") -> Path:
        return Path(self._at(path))

    def read(self, path: str, *, start: int = 0, size: int | None = None) -> bytes:
        with self.explained(path), open(self._at(path), "rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)

    def write(self, path: str, data: bytes) -> None:
        with self.explained(path, wanted=len(data)):
            disk.write_whole(self.path(path), data)

    def open_writer(self, path: str) -> FileWriter:
        target = self.path(path)
        return FileWriter(lambda: disk.HalfFile(target), partial(self.explained, path))

    def create(self, path: str, data: bytes) -> bool:
        """Exclusive and whole."""
        with self.explained(path, wanted=len(data)):
            return disk.create_whole(self.path(path), data)

    def list(self, path: str = "") -> list[Entry]:
        """As above, but a half-written file of somebody else's is not an entry."""
        entries: list[Entry] = []
        with self.explained(path):
            try:
                items = list(os.scandir(self._at(path)))
            except FileNotFoundError:
                return []
            for item in items:
                try:
                    stat = item.stat()
                except FileNotFoundError:  # removed since the scan
                    continue
                entries.append(
                    Entry(
                        name=item.name,
                        is_dir=item.is_dir(),
                        size_bytes=stat.st_size,
                        modified=stat.st_mtime_ns / 1e9,
                    )
                )
        visible = [entry for entry in entries if not entry.name.startswith(".")]
        return sorted(visible, key=lambda entry: entry.name)

    def check_writable(self) -> str | None:
        """As above; folders that were made for it are gone again."""
        made = [path for path in (self.path(), *self.path().parents) if not path.exists()]
        reason = super().check_writable()
        for path in made:
            with suppress(OSError):  # never made, or somebody else writes here by now
                path.rmdir()
        return reason

    def remove(self, path: str) -> None:
        with self.explained(path):
            target = self.path(path)
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def move(self, path: str, target: str) -> None:
        """At once."""
        with self.explained(path):
            disk.move(self.path(path), self.path(target))

    def is_shared(self) -> bool:
        """Whether other nodes can mount it."""
        return disk.is_shared(self.path())


def open_storage(uri: str | Path) -> Storage:
    """A local path, or a URI that pyarrow opens: s3://bucket/folder?endpoint_override=…, gs://…"""
    text = str(uri)
    try:
        split = urlsplit(text)
        if not split.scheme or split.scheme == "file" or len(split.scheme) == 1:
            name = unquote(split.path) if split.scheme == "file" else text
            path = Path(name).expanduser().absolute()
            return LocalStorage(str(path), fs.LocalFileSystem(), str(path))
    except (ValueError, RuntimeError) as err:  # a bracket that does not close, a home of nobody
        raise StorageError(f"{text} cannot be opened: {disk.first_line(err)}.") from err
    if split.username or split.password:
        raise RequestError(
            f"The storage URI for {split.hostname} holds credentials, which every log would show.",
            hint="Set them in the environment (AWS_ACCESS_KEY_ID …) or in a credentials file.",
        )
    try:
        if split.scheme == "s3":
            if not split.netloc:
                raise ValueError("it names no bucket")
            root = unquote(f"{split.netloc}{split.path}")
            return Storage(text, s3.connect(split.query), root)
        filesystem, root = fs.FileSystem.from_uri(text)
    except (ValueError, OSError, NotImplementedError) as err:
        raise StorageError(f"{text} cannot be opened: {disk.first_line(err)}.") from err
    return Storage(text, filesystem, root)


def _entry(info: Any) -> Entry:
    return Entry(
        name=info.base_name,
        is_dir=info.type == fs.FileType.Directory,
        size_bytes=info.size or 0,
        modified=(info.mtime_ns or 0) / 1e9,
    )
