"""The submitted code: which files travel, their fingerprint, and the one zip that holds them.

The zip is the same bytes for the same files, so that Ray's package store keeps one copy of it, and
it carries a list of its own contents, so that a worker can tell that it runs exactly this code.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from itertools import islice
from pathlib import Path

from orchestrator.errors import RequestError
from orchestrator.settings.code import Code
from orchestrator.settings.finding import Finding
from orchestrator.settings.secrets import names_held_by, secret_values
from orchestrator.settings.units import format_bytes

CONTENTS = ".orchestrator-code.json"  # inside the zip: path → sha256
_MAX_FILES = 20_000
SECRET_FILES = (".env", ".env.*", ".envrc", "*.pem", "id_rsa*", "id_ed25519*", ".netrc", ".pypirc")
_NEVER = (
    *(".git", ".hg", ".venv", "venv", "__pycache__", "node_modules", "*.egg-info"),
    "wandb/*",  # what W&B leaves there; further down a package may be called so
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints"),
    *("*.pyc", CONTENTS, *SECRET_FILES),
)


@dataclass(frozen=True, kw_only=True)
class CodeTree:
    """The files of a working directory that travel, read once."""

    root: Path
    files: dict[str, str]  # path below root → sha256
    size_bytes: int

    @property
    def fingerprint(self) -> str:
        return fingerprint_files(self.files)

    def zip(self) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
            for path, digest in self.files.items():
                data = _read(self.root / path)
                if data is None or hashlib.sha256(data).hexdigest() != digest:
                    raise RequestError(f"{path} was changed after the plan was made; plan again.")
                is_program = os.access(self.root / path, os.X_OK)
                archive.writestr(_member(path, 0o755 if is_program else 0o644), data)
            contents = json.dumps(self.files, sort_keys=True)
            archive.writestr(_member(CONTENTS, 0o644), contents)
        return buffer.getvalue()


def read_tree(
    root: Path, settings: Code, *, leave_out: Sequence[Path] = ()
) -> tuple[CodeTree, list[Finding]]:
    """The tree, and why it may not travel: too large, too many files, or a secret in a file."""
    findings: list[Finding] = []
    secrets = secret_values()
    files: dict[str, str] = {}
    sizes: dict[str, int] = {}
    total = 0
    for path in _paths(root, (*_NEVER, *settings.exclude), leave_out):
        sizes[path] = _size(root / path)
        total += sizes[path]
        if total > 4 * settings.max_bytes or len(sizes) > _MAX_FILES:
            break  # nobody needs the hash of what is refused
        data = _read(root / path)
        if data is None or not _is_utf8(path):
            findings.append(_unfit(path, "cannot be read" if data is None else "has no UTF-8 name"))
            continue
        files[path] = hashlib.sha256(data).hexdigest()
        for name in names_held_by(data, secrets):
            findings.append(
                Finding(
                    key="code",
                    found=f"{path}",
                    rule=f"holds the value of the environment variable {name}.",
                    try_=f"taking it out, or code.exclude=['{path}'].",
                )
            )
    tree = CodeTree(root=root, files=files, size_bytes=total)
    return tree, findings + _too_much(root, sizes, settings)


def fingerprint_files(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def unpack(data: bytes, folder: Path) -> None:
    """Write the files of a code.zip; a member that would land outside of `folder` is refused."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        targets = {name: (folder / name).resolve() for name in archive.namelist()}
        for name, target in targets.items():
            if not target.is_relative_to(folder.resolve()):
                raise ValueError(f"code.zip holds {name!r}, which leads outside")
        for member in archive.infolist():
            target = targets[member.filename]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(member))
            target.chmod(member.external_attr >> 16 & 0o777 or 0o644)


def differing_files(folder: Path) -> list[str] | None:
    """Files of an unpacked code.zip that are not as they were; None where there is no list."""
    contents = folder / CONTENTS
    if not contents.is_file():
        return None
    expected: dict[str, str] = json.loads(contents.read_text())
    return [path for path, digest in expected.items() if _digest(folder / path) != digest]


def unpacked_fingerprint(folder: Path) -> str | None:
    """The fingerprint of the files that are really here, by the list that travelled with them."""
    contents = folder / CONTENTS
    if not contents.is_file():
        return None
    expected: dict[str, str] = json.loads(contents.read_text())
    return fingerprint_files({path: _digest(folder / path) for path in expected})


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # no permission, or gone since it was listed
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_utf8(path: str) -> bool:
    """Git and the disk know names of any bytes; those that are no UTF-8 hold lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in path)


def _unfit(path: str, why: str) -> Finding:
    name = path if _is_utf8(path) else ascii(path)[1:-1]
    return Finding(
        key="code",
        found=name,
        rule=f"{why}.",
        try_="another name, or leaving it out: code.exclude=[…].",
    )


def _member(path: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, date_time=(1980, 1, 1, 0, 0, 0))
    info.external_attr = (0o100000 | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _paths(root: Path, patterns: Sequence[str], leave_out: Sequence[Path]) -> list[str]:
    """Sorted paths below `root`: what git does not ignore, or everything where there is no git."""
    named = re.compile("|".join(translate(pattern.rstrip("/")) for pattern in patterns))
    here = os.path.realpath(root)
    outside = tuple(f"{os.path.realpath(folder)}/" for folder in leave_out)

    def is_out(path: str) -> bool:
        names = (path, f"{path}/", *path.split("/"))  # `data/*` is the whole folder `data/`
        return any(map(named.match, names)) or f"{here}/{path}/".startswith(outside)

    listed = _git_files(root)
    found = _walk(root, is_out) if listed is None else (p for p in listed if not is_out(p))
    files = (path for path in found if (root / path).is_file())
    return sorted(islice(files, _MAX_FILES + 1))  # one too many is enough to refuse


def _git_files(root: Path) -> list[str] | None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        result = subprocess.run(command, cwd=root, capture_output=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    names = [name for name in result.stdout.decode(errors="surrogateescape").split("\0") if name]
    # A submodule, or a checkout inside of this one, is listed as a folder.
    nested = [name.rstrip("/") for name in names if _is_real_folder(root / name)]
    names += [f"{name}/{inner}" for name in nested for inner in _git_files(root / name) or []]
    return names or None  # nothing at all: a folder that the checkout above it ignores


def _is_real_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _walk(root: Path, is_out: Callable[[str], bool]) -> Iterator[str]:
    """Never looks into folders that are out: data and runs may hold millions of files."""
    for folder, folders, names in os.walk(root):
        below = os.path.relpath(folder, root) + "/" if folder != str(root) else ""
        folders[:] = sorted(name for name in folders if not is_out(below + name))
        yield from (below + name for name in names if not is_out(below + name))


def _too_much(root: Path, sizes: dict[str, int], settings: Code) -> list[Finding]:
    total = sum(sizes.values())
    largest = sorted(sizes, key=lambda path: sizes[path], reverse=True)[:3]
    shown = ", ".join(f"{path} ({format_bytes(sizes[path])})" for path in largest)
    try_ = "leaving data out with .gitignore or code.exclude=[…], or running from a smaller folder."
    if len(sizes) > _MAX_FILES:
        found = f"{root} holds more than {_MAX_FILES:,} files to send"
        return [Finding(key="code", found=found, rule="and is no project folder.", try_=try_)]
    if total > settings.max_bytes:
        return [
            Finding(
                key="code.max_bytes",
                found=f"={settings.max_bytes}",
                rule=f"({format_bytes(settings.max_bytes)}) is less than the files of {root}: "
                f"{format_bytes(total)}; the largest are {shown}.",
                try_=try_,
            )
        ]
    return []
