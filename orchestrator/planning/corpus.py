"""What can be known of a corpus before it is made: is the text there, can the nodes read it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.corpus.layout import corpus_uri
from orchestrator.corpus.text.parts import plan_parts
from orchestrator.errors import OrchestratorError
from orchestrator.runs.plan import Resources
from orchestrator.runs.storage import LocalStorage, open_storage
from orchestrator.settings.corpus import Corpus, Source, SourceKind
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import format_bytes


def corpus_findings(corpus: Corpus, resources: Resources) -> Iterator[Finding]:
    for name, source in corpus.sources.items():
        key = f"corpus.sources.{name}.path"
        if source.kind is not SourceKind.DATASET:  # those are looked up where the job runs
            try:
                plan_parts(replace(corpus, sources={name: source}))
            except OrchestratorError as err:
                yield Finding(key="", found=err.message, rule=err.hint or "")
        if not resources.is_this_machine and (far := _far_paths(source)):
            yield Finding(
                key=key,
                found=f"=[{', '.join(far)}]",
                rule=f"is on a disk of this machine; the nodes of {resources.place} cannot see it.",
                try_="a folder that every node mounts, or an object store: s3://…",
            )


def derive_corpus(corpus: Corpus, storage: str) -> dict[str, Any]:
    """Where it will lie, and how much there is to read."""
    files = {
        name: source
        for name, source in corpus.sources.items()
        if source.kind is not SourceKind.DATASET
    }
    derived: dict[str, Any] = {"corpus": corpus_uri(storage, corpus)}
    if files:
        parts = plan_parts(replace(corpus, sources=files))
        num_files = len({span.uri for part in parts for span in part.spans})
        derived["source files"] = num_files
        derived["source size"] = format_bytes(sum(part.size_bytes for part in parts))
        derived["parts"] = len(parts)
    return derived


def text_inside(corpus: Corpus, folder: Path) -> Iterator[str]:
    """The paths and patterns of sources below a folder, as seen from it."""
    for source in corpus.sources.values():
        for path in source.path:
            if "://" not in path and Path(path).is_relative_to(folder):
                yield str(Path(path).relative_to(folder))


def _far_paths(source: Source) -> list[str]:
    """Those that only this machine has."""
    far = []
    for path in source.path:
        if source.kind is SourceKind.DATASET and not path.startswith("/"):
            continue
        storage = None if path.startswith("bundled:") else open_storage(path.partition("*")[0])
        if isinstance(storage, LocalStorage) and not storage.is_shared():
            far.append(path)
    return far
