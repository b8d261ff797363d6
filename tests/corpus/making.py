"""A corpus made without Ray: the same tasks, in this process, in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.corpus import layout
from orchestrator.corpus.assemble import assemble, refuse_changed
from orchestrator.corpus.prepare import (
    PartWork,
    WholeWork,
    join_signatures,
    make_part,
    make_tokenizer,
    sign_part,
)
from orchestrator.corpus.shards.manifest import Manifest
from orchestrator.corpus.text.parts import Part, plan_parts
from orchestrator.runs.storage import open_storage
from orchestrator.settings.corpus import (
    Corpus,
    Duplicates,
    Layout,
    Sentences,
    Source,
    SourceKind,
    Tokenizer,
)

SENTENCES = (
    "The river rises in the eastern hills and runs through three provinces",
    "Most of the people live on the coast, where the soil is good",
    "Exports are timber, tin and coffee",
    "In {year} the old harbour was closed",
    "Nobody knows how many islands there are, and {number} have a name",
    "The capital lies {number} km from the sea",
)


def a_document(number: int) -> list[str]:
    """Sentences, one a line; documents differ in text and in length."""
    count = 1 + number * 7 % 23
    return [
        SENTENCES[(number + place) % len(SENTENCES)].format(
            year=1900 + number, number=number * 31 + place
        )
        for place in range(count)
    ]


def text_of(documents: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(lines) for lines in documents) + "\n"


def a_corpus(path: Path | str, **settings: object) -> Corpus:
    """Blank lines between documents, a sentence a line; small parts, so that there are many."""
    given: dict[str, object] = {
        "name": "small",
        "sources": {
            "text": Source(
                kind=SourceKind.TEXT,
                path=(str(path),),
                layout=Layout.BLOCKS,
                sentences=Sentences.LINES,
            )
        },
        "tokenizer": Tokenizer(vocab_size=300),
        "part_bytes": 2048,
        "validation_share": 0.2,
    }
    return Corpus(**(given | settings))  # type: ignore[arg-type]


def make(
    corpus: Corpus,
    target: str,
    *,
    order: Callable[[list[Part]], list[Part]] = list,
) -> Manifest:
    parts = plan_parts(corpus)
    storage = open_storage(target)
    refuse_changed(storage, corpus, parts)
    whole = WholeWork(corpus=corpus, target=target, parts=tuple(parts))
    make_tokenizer(whole, _nobody)
    if corpus.duplicates is not Duplicates.KEEP:
        for part in order(parts):
            sign_part(PartWork(corpus=corpus, target=target, part=part), _nobody)
        join_signatures(whole, _nobody)
    for part in order(parts):
        make_part(PartWork(corpus=corpus, target=target, part=part), _nobody)
    manifest = assemble(storage, corpus, parts)
    storage.remove(layout.PARTS)
    return manifest


def _nobody(done: int) -> None:
    """Watches the progress."""


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below, hidden ones too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
