"""The name of every file in a prepared corpus's folder. Nobody else spells one."""

from __future__ import annotations

from orchestrator.settings.corpus import Corpus

MANIFEST = "manifest.json"  # written last: a corpus exists only when it does
SOURCES = "sources.json"  # what was there to read when it was begun
TOKENIZER = "tokenizer"
LEASES = "leases"  # one run at a time makes it; gone when it is made, like the next
PARTS = "parts"
TOKENIZER_RECORD = f"{PARTS}/tokenizer.json"
DUPLICATES_RECORD = f"{PARTS}/duplicates.json"
TRAIN, VALIDATION = SPLITS = ("train", "validation")


def part_record(part: int) -> str:
    """Written after the shards of a part."""
    return f"{PARTS}/{part:06d}.json"


def signatures(part: int) -> str:
    return f"{PARTS}/{part:06d}-signatures.npy"


def duplicates(part: int) -> str:
    """The numbers of the documents of a part that are left out."""
    return f"{PARTS}/{part:06d}-duplicates.npy"


def corpus_uri(storage: str, corpus: Corpus) -> str:
    """Where a corpus lies, unless its settings say so. What follows a `?` stays the storage's."""
    if corpus.path is not None:
        return corpus.path
    path, mark, options = storage.partition("?") if "://" in storage else (storage, "", "")
    return f"{path.rstrip('/')}/corpora/{corpus.name}-{corpus.fingerprint[:8]}{mark}{options}"
