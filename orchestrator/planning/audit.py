"""The proof that a run trained on its stream, each pack once: from its folder and its corpus alone.

Three witnesses must agree: the records of steps, the corpus that makes the stream again, and the
checkpoints, which know how far the run was. `Run.audit` and `orchestrator audit` call it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from orchestrator.errors import NotFoundError, OrchestratorError, RequestError
from orchestrator.planning.records import Records, Witness
from orchestrator.runs.checkpoints import Checkpoints
from orchestrator.runs.checkpoints.commit import ForeignSchema, Torn
from orchestrator.runs.checkpoints.restore import committed_steps
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.home import state_home
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.training.recipe import course_of, training_stream
from orchestrator.training.standing import Standing

Tell = Callable[[str, float, float], None]  # what is looked at; how much of it, of how much
_DAMAGES = 20  # that are said


@dataclass(frozen=True, kw_only=True)
class RunAudit:
    """Counts are of steps that made the model; None where the stream could not be walked."""

    audit: Audit | None
    attempts: int
    worlds: tuple[int, ...]  # of attempts, in their order
    lost_packs: int  # of the stream: between steps that count, or before the newest checkpoint
    checkpoint_step: int | None  # the newest one, with which the records were compared
    corpus: str
    problems: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        return not self.problems


def nobody(stage: str, done: float, total: float) -> None:
    """Watches the progress."""


def audit_run(run: RunFolder, tell: Tell = nobody) -> RunAudit:
    job = run.job()
    if not isinstance(job, PretrainJob):
        raise RequestError(
            f"{run.id} is a run of kind {job.kind}: it has no steps to audit.",
            hint="Runs of kind pretrain have.",
        )
    # Before the records: those of a run that goes on are written before its next checkpoint.
    witnesses, problems = _witnesses(run)
    records = Records(run.storage, course_of(job))
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
        problems += _tokens_problems(found, newest)
    return RunAudit(
        audit=found,
        attempts=len(records.attempts),
        worlds=_worlds(run, records.attempts),
        lost_packs=records.lost_packs(witnesses),
        checkpoint_step=newest.step if newest else None,
        corpus=f"{corpus.uri} ({manifest.name})" if manifest else corpus.uri,
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


def _witnesses(run: RunFolder) -> tuple[list[Witness], list[str]]:
    """What checkpoints say of how far the run was, oldest first."""
    witnesses, problems = [], []
    told = max(committed_steps(run.events()), default=0)  # before looking: it may be going on
    checkpoints = Checkpoints(run.storage)
    steps = checkpoints.steps()
    for step in steps:
        try:
            standing = Standing.from_plain(checkpoints.read(step).facts["standing"])
        except NotFoundError:
            continue  # retired meanwhile
        except (Torn, ForeignSchema) as err:
            problems.append(f"The COMMIT of step {step} {err.message}.")
        except (RequestError, KeyError) as err:
            problems.append(f"The COMMIT of step {step} does not say where the run stood: {err}.")
        else:
            witness = Witness(step=standing.step, cursor=standing.cursor, tokens=standing.tokens)
            witnesses.append(witness)
            if standing.step != step:
                problems.append(f"The COMMIT of step {step} stands at step {standing.step}.")
    if told > max(steps, default=0):
        problems.append(f"The ledger tells of a checkpoint of step {told}, which is not there.")
    return witnesses, problems


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


def _tokens_problems(found: Audit, newest: Witness) -> Iterator[str]:
    if found.tokens != newest.tokens:
        yield (
            f"The checkpoint of step {newest.step} counts {newest.tokens:,} tokens; the stream up "
            f"to there has {found.tokens:,}."
        )


def _worlds(run: RunFolder, attempts: tuple[int, ...]) -> tuple[int, ...]:
    """As the ledger tells, of attempts that made a step."""
    worlds = {
        event.attempt: event.fields["workers"]
        for event in run.events()
        if event.kind == "running" and isinstance(event.fields.get("workers"), int)
    }
    return tuple(worlds[attempt] for attempt in attempts if attempt in worlds)
