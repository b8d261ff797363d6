"""Sources in the short form in which these tests speak of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.corpus.text.parts import Part, plan_parts
from orchestrator.corpus.text.read import Document, read_part
from orchestrator.settings.corpus import Corpus, Layout, Source, SourceKind, Undecodable

WHOLE = 2**40


def a_source(path: Path | str | tuple[str, ...], kind: str = "text", **settings: Any) -> Source:
    paths = path if isinstance(path, tuple) else (str(path),)
    for key, choices in (("layout", Layout), ("undecodable", Undecodable)):
        if key in settings:
            settings[key] = choices(settings[key])
    return Source(kind=SourceKind(kind), path=paths, **settings)


def plan(*sources: Source, part_bytes: int = WHOLE) -> list[Part]:
    named = {f"s{number}": source for number, source in enumerate(sources)}
    return plan_parts(Corpus(name="c", sources=named, part_bytes=part_bytes))


def documents(source: Source, part_bytes: int = WHOLE) -> list[Document]:
    return [
        document
        for part in plan(source, part_bytes=part_bytes)
        for document in read_part(source, part)
    ]


def texts(source: Source, part_bytes: int = WHOLE) -> list[str]:
    return [document.text for document in documents(source, part_bytes)]
