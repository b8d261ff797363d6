"""The files that a path, a pattern, a URI or `bundled:NAME` names, on a disk or an object store.

A pattern is matched folder by folder: `*`, `[…]` and `**` mean the same everywhere, and `?` does on
a disk (in a URI it begins the options). `plan_parts` asks for the files, `streams` opens them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from glob import has_magic
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from orchestrator.errors import RequestError
from orchestrator.runs.storage import Entry, Storage, open_storage
from orchestrator.settings.bundled import BUNDLED, bundled
from orchestrator.settings.finding import did_you_mean

# Formats that hold several files, or that are not opened: read as text they would be noise.
_PACKED = (".7z", ".bz2", ".lz4", ".rar", ".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".zip")


@dataclass(frozen=True, kw_only=True)
class File:
    uri: str
    size_bytes: int
    modified: float  # seconds since the epoch; 0 where it says nothing


def find_files(path: str, key: str) -> list[File]:
    """All that match, sorted by URI; none is an error that names the setting `key`."""
    storage, name = locate(path)
    entry = storage.find(name) if name else None
    if entry is not None and not entry.is_dir:
        found = {path: entry}
    elif entry is None and has_magic(_path_of(path)):
        found = dict(_expand(path))
    else:
        raise _nothing_at(path, key, entry)
    if not found:
        raise _no_match(path, key)
    for uri in found:
        if _path_of(uri).lower().endswith(_PACKED):
            raise RequestError(
                f"{key}: {uri} is packed in a way that is not read.",
                hint="Unpack it; single files compressed as .gz, .xz or .zst are read as they are.",
            )
    return [
        File(uri=uri, size_bytes=found[uri].size_bytes, modified=_modified(uri, found[uri]))
        for uri in sorted(found)
    ]


def _modified(uri: str, entry: Entry) -> float:
    """What comes with the code is unpacked anew for every attempt: its time says nothing."""
    return 0.0 if uri.startswith(BUNDLED) else entry.modified


def locate(uri: str) -> tuple[Storage, str]:
    """The folder of a file, and its name there: the same file wherever this package runs."""
    if uri.startswith(BUNDLED):
        return open_storage(bundled("data")), uri.removeprefix(BUNDLED)
    if "://" not in uri:
        path = Path(uri).expanduser()
        return _open_folder(str(path.parent)), path.name
    split = urlsplit(uri)
    folder, _, name = split.path.rpartition("/")
    return _open_folder(split._replace(path=folder).geturl()), unquote(name)


@lru_cache(maxsize=8)
def _open_folder(uri: str) -> Storage:
    """A part may hold thousands of small files of one folder; a store's client takes long."""
    return open_storage(uri)


def _path_of(uri: str) -> str:
    return urlsplit(uri).path if "://" in uri else uri


def _expand(pattern: str) -> Iterator[tuple[str, Entry]]:
    if pattern.startswith(BUNDLED):
        root = open_storage(bundled("data"))
        segments = pattern.removeprefix(BUNDLED).split("/")
        for path, entry in _matches(root, "", segments):
            yield f"{BUNDLED}{path}", entry
        return
    split = urlsplit(pattern) if "://" in pattern else SplitResult("", "", pattern, "", "")
    segments = split.path.split("/")
    literal = next(index for index, segment in enumerate(segments) if has_magic(segment))
    folder = split._replace(path="/".join(segments[:literal]) or "/" * split.path.startswith("/"))
    root = open_storage(folder.geturl() if split.scheme else folder.path)
    rest = [unquote(segment) if split.scheme else segment for segment in segments[literal:]]
    for path, entry in _matches(root, "", rest):
        yield root.uri_of(path), entry


def _matches(root: Storage, folder: str, segments: list[str]) -> Iterator[tuple[str, Entry]]:
    """Files below a folder, each with its path from the root. Hidden ones must be asked for."""
    segment, rest = segments[0], segments[1:]
    if segment == "**" and rest:
        yield from _matches(root, folder, rest)
    for entry in root.list(folder):
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith(".") and not segment.startswith("."):
            continue
        if segment == "**":
            if entry.is_dir:
                yield from _matches(root, path, segments)
            elif not rest:
                yield path, entry
        elif fnmatchcase(entry.name, segment) and entry.is_dir == bool(rest):
            if rest:
                yield from _matches(root, path, rest)
            else:
                yield path, entry


def _nothing_at(path: str, key: str, entry: Entry | None) -> RequestError:
    storage, name = locate(path)
    _check_bucket(storage, path, key)
    if entry is not None or not name:
        return RequestError(
            f"{key}={path} is a folder; files are read.", hint=f"Try {_below(path, '*.txt')}"
        )
    near = did_you_mean(name, (there.name for there in storage.list()))
    return RequestError(f"{key}={path} does not exist.", hint=f"Its folder holds {near}")


def _no_match(path: str, key: str) -> RequestError:
    storage, _ = locate(path)
    _check_bucket(storage, path, key)
    return RequestError(
        f"{key}={path} matches no file.",
        hint="`*` stands for any name in one folder, `**` for any number of folders.",
    )


def _check_bucket(storage: Storage, path: str, key: str) -> None:
    if not storage.has_container():
        bucket = urlsplit(path).netloc
        raise RequestError(
            f"{key}={path}: there is no bucket {bucket} at this endpoint.",
            hint="Check the name, and ?endpoint_override=…&region=… for a store that is not AWS.",
        )


def _below(path: str, name: str) -> str:
    head, mark, options = path.partition("?") if "://" in path else (path, "", "")
    return f"{head.rstrip('/')}/{name}{mark}{options}"
