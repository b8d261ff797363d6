"""The proof that a run trained on its stream, each pack once: from its folder and its corpus alone.

Three witnesses must agree: the records of steps, the corpus that makes the stream again, and the
checkpoints, which know how far the run was. `Run.audit` and `orchestrator audit` call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from xxhash import xxh3_128_hexdigest

from orchestrator.corpus import layout
from orchestrator.corpus.packs.audit import Audit, audit
from orchestrator.corpus.shards.cache import ready_corpus
from orchestrator.corpus.shards.manifest import Manifest, parse_manifest, read_bytes
from orchestrator.corpus.shards.read import open_corpus
from orchestrator.corpus.shards.verify import find_damages, find_tokenizer_damage
from orchestrator.corpus.tokens.tokenizer import open_tokenizer
from orchestrator.errors import OrchestratorError, RequestError
from orchestrator.planning.audit_sweep import audit_sweep
from orchestrator.planning.audit_task import audit_task
from orchestrator.planning.audited import (
    RunAudit,
    Tell,
    nobody,
    tokens_problems,
    witnesses_of,
    worlds_of,
)
from orchestrator.planning.records import Records
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.home import state_home
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.sweep import SweepJob
from orchestrator.training.recipe import course_of, training_stream

_DAMAGES = 20  # that are said


def audit_run(run: RunFolder, tell: Tell = nobody) -> RunAudit:
    job = run.job()
    if isinstance(job, SweepJob):
        return audit_sweep(run, job, tell)
    if isinstance(job, FinetuneJob):
        return audit_task(run, job, tell)
    if isinstance(job, PretrainJob):
        return _audit_pretraining(run, job, tell)
    raise RequestError(
        f"{run.id} is a run of kind {job.kind}: it has no steps to audit.",
        hint="Runs of kind pretrain, finetune and sweep have.",
    )


def _audit_pretraining(run: RunFolder, job: PretrainJob, tell: Tell) -> RunAudit:
    # Before the records: those of a run that goes on are written before its next checkpoint.
    witnesses, problems = witnesses_of(run.storage, run.events())
    course = course_of(job)
    records = Records(run.storage, lambda begin: course.packs_per_step(begin.packs_total))
    if not records.attempts and not witnesses:
        raise RequestError(f"{run.id} has trained no step yet: there is nothing to audit.")
    corpus = open_storage(layout.corpus_uri(run.parent.uri, job.corpus))
    manifest, damages = _damages(run, corpus, tell)
    found = None
    if not damages:
        with _readable(corpus) as folder:
            found = _walk(job, folder, records, tell)
    problems += [*records.problems(), *damages, *(found.problems if found else ())]
    problems += records.compare(witnesses)
    newest = witnesses[-1] if witnesses else None
    if found is not None and newest is not None and found.steps == newest.step and not problems:
        problems += tokens_problems(found, newest)
    return RunAudit(
        audit=found,
        attempts=len(records.attempts),
        worlds=worlds_of(run, records.attempts),
        lost_packs=records.lost_packs(witnesses),
        checkpoint_step=newest.step if newest else None,
        data=f"{corpus.uri} ({manifest.name})" if manifest else corpus.uri,
        problems=tuple(problems),
    )


def _walk(job: PretrainJob, folder: Path, records: Records, tell: Tell) -> Audit:
    prepared = open_corpus(folder)
    stream = training_stream(job, prepared, open_tokenizer(prepared.tokenizer))
    return audit(
        prepared.split(layout.TRAIN),
        stream.recipe,
        records.read,
        tell=lambda steps: tell("steps", steps, records.last_step),
    )


def _damages(run: RunFolder, corpus: Storage, tell: Tell) -> tuple[Manifest | None, list[str]]:
    """Sample ids come from places in the corpus: that its tokens are the same, checksums tell."""
    try:
        data = read_bytes(corpus)
        manifest = parse_manifest(data, corpus.uri)
    except OrchestratorError as err:
        return None, [err.message]
    problems = []
    planned = (run.lineage().get("corpus") or {}).get("manifest")
    if planned not in (None, xxh3_128_hexdigest(data)):
        problems.append(
            f"{corpus.uri} has another manifest ({xxh3_128_hexdigest(data)}) than when the run was "
            f"planned ({planned})."
        )
    found = find_damages(corpus, manifest, lambda done, total: tell("corpus", done, total))
    problems += [f"{corpus.uri}/{damage}." for damage in islice(found, _DAMAGES)]
    of_tokenizer = find_tokenizer_damage(
        corpus, manifest, lambda folder: open_tokenizer(folder).fingerprint
    )
    problems += [f"{corpus.uri}/{of_tokenizer}."] if of_tokenizer else []
    return manifest, problems


@contextmanager
def _readable(corpus: Storage) -> Iterator[Path]:
    """Where it lies, or a copy: the same as that of `corpus sample`."""
    if isinstance(corpus, LocalStorage):
        yield corpus.path()
        return
    cache = state_home() / "corpora"
    with ready_corpus(corpus.uri, cache=cache, limit_bytes=2**63, tell=lambda *_: None) as folder:
        yield folder
