"""The `export` job's body, and what other bodies start from: directories made of checkpoints.

A directory is made by one task, on whichever node has room, into the run's folder, where every node
can read it; an attempt that follows one that was killed finds it there, or makes it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.tasks import run_tasks
from orchestrator.corpus import layout as corpus_layout
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.encoder.directory import directory_findings, read_directory
from orchestrator.encoder.nearby import nearby
from orchestrator.encoder.words import words_findings
from orchestrator.errors import RequestError, SettingsError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.origin import Kind, Origin, find_origin
from orchestrator.runs.storage import open_storage
from orchestrator.settings.export import ExportJob
from orchestrator.settings.units import format_bytes


def export(attempt: Attempt) -> None:
    job = attempt.job
    assert isinstance(job, ExportJob)
    origin = find_origin(job.encoder, attempt.run.parent)
    if origin.kind is not Kind.CHECKPOINT:
        raise RequestError(f"encoder={job.encoder} is a directory already: {origin.uri}.")
    attempt.ledger.record("running", workers=1)
    target = _made(attempt, origin, layout.EXPORT, is_trimmed=True)
    attempt.ledger.record("exported", step=origin.step, **_named(origin), directory=target)
    print(f"Step {origin.step} of {_named(origin)['run']}: {target}", flush=True)


def start_directory(attempt: Attempt, encoder: str) -> str:
    """The URI of the directory that `encoder=` means, for all nodes.

    What an earlier attempt made is taken, also where the run that it is of has gone meanwhile.
    """
    if (made := _there(attempt, layout.START)) is not None:
        return made
    origin = find_origin(encoder, attempt.run.parent)
    if origin.kind is not Kind.CHECKPOINT:
        return origin.uri
    return _made(attempt, origin, layout.START, is_trimmed=False)


def refuse_misfit(encoder: str, corpus: str, seq_len: int) -> None:
    """An encoder whose words are not the corpus's would train, and nobody would know."""
    tokenizers = open_storage(corpus).uri_of(corpus_layout.TOKENIZER)
    with nearby(encoder, has_weights=False) as folder, nearby(tokenizers) as words:
        tokenizer = open_tokenizer(words)
        findings = [
            *directory_findings(
                read_directory(folder),
                num_words=tokenizer.vocab_size,
                pad_id=tokenizer.pad_id,
                seq_len=seq_len,
            ),
            *words_findings(folder, tokenizer),
        ]
    if findings:
        raise SettingsError([str(finding).replace(str(folder), encoder) for finding in findings])


@dataclass(frozen=True, kw_only=True)
class _Work:
    """`Export`, without the imports of the module that it is in."""

    run: str
    step: int
    target: str
    is_trimmed: bool


def _made(attempt: Attempt, origin: Origin, folder: str, *, is_trimmed: bool) -> str:
    if (made := _there(attempt, folder)) is not None:
        return made
    target = attempt.run.storage.uri_of(folder)
    assert origin.run is not None and origin.step is not None
    size_bytes = Checkpoints(origin.run.storage).read(origin.step).size_bytes
    told = f"taking the weights of step {origin.step} of {origin.run.id}"
    print(f"{told}: {format_bytes(size_bytes)}", flush=True)
    work = _Work(run=origin.run.uri, step=origin.step, target=target, is_trimmed=is_trimmed)
    for _ in run_tasks(attempt, _make, [work], stage=told, sizes=[size_bytes]):
        pass
    return target


def _there(attempt: Attempt, folder: str) -> str | None:
    """Whole, or not at all: its lineage was written last."""
    storage = attempt.run.storage
    return storage.uri_of(folder) if storage.exists(f"{folder}/{layout.EXPORTED}") else None


def _make(work: _Work, tell: Callable[[int], None]) -> None:
    from orchestrator.training.exporting import Export, make_directory  # torch, transformers

    make_directory(Export(**vars(work)), tell)


def _named(origin: Origin) -> dict[str, str]:
    return {} if origin.run is None else {"run": origin.run.id}
