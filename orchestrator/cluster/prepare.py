"""The `prepare` job's body: the stages of a corpus, each fanned out over the cluster as tasks.

Every stage leaves a record behind its files; so an attempt goes on with what one that was killed
had done, and ends with the same bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.cluster.attempt import Attempt
from orchestrator.cluster.tasks import Tell, run_tasks
from orchestrator.corpus import layout
from orchestrator.corpus.assemble import assemble, refuse_changed
from orchestrator.corpus.picture import draw_corpus
from orchestrator.corpus.prepare import (
    PartWork,
    WholeWork,
    join_signatures,
    make_part,
    make_tokenizer,
    sign_part,
)
from orchestrator.corpus.shards.manifest import Manifest, read_manifest
from orchestrator.corpus.text.parts import Part, plan_parts
from orchestrator.errors import StorageError
from orchestrator.runs import disk
from orchestrator.runs.lease import RENEW_EVERY_S, Lease, LeaseLost
from orchestrator.runs.picture import as_text
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.corpus import Corpus, Duplicates
from orchestrator.settings.prepare import PrepareJob


def prepare(attempt: Attempt) -> None:
    assert isinstance(attempt.job, PrepareJob)
    corpus = attempt.job.corpus
    target = open_storage(layout.corpus_uri(attempt.run.parent.uri, corpus))
    with _claimed(target, attempt):
        manifest = _Making(attempt, corpus, target).make()
    attempt.ledger.record("prepared", corpus=target.uri, fingerprint=manifest.fingerprint)
    print(as_text(draw_corpus(manifest, target.uri)))


@dataclass(frozen=True)
class _Making:
    """One corpus, stage by stage."""

    attempt: Attempt
    corpus: Corpus
    target: Storage

    def make(self) -> Manifest:
        self.attempt.progress.show("listing the sources")
        parts = plan_parts(self.corpus)
        refuse_changed(self.target, self.corpus, parts)
        self.attempt.ledger.record("running", workers=self.attempt.job.cluster.num_workers)
        if self.target.exists(layout.MANIFEST):
            print(f"Prepared already: {self.target.uri}")
        else:
            self._tokenizer(parts)
            if self.corpus.duplicates is not Duplicates.KEEP:
                self._duplicates(parts)
            self._parts(parts)
            assemble(self.target, self.corpus, parts)
        self.target.remove(layout.PARTS)
        if isinstance(self.target, LocalStorage):
            disk.remove_halves(self.target.path())
        return read_manifest(self.target)

    def _tokenizer(self, parts: list[Part]) -> None:
        if self.target.exists(layout.TOKENIZER_RECORD):
            return
        stage = "training the tokenizer" if self.corpus.tokenizer.path is None else "tokenizer"
        size = min(self.corpus.tokenizer.train_bytes, sum(part.size_bytes for part in parts))
        self._run(stage, make_tokenizer, [self._whole(parts)], [size])

    def _duplicates(self, parts: list[Part]) -> None:
        if self.target.exists(layout.DUPLICATES_RECORD):
            return
        self._each("comparing documents", sign_part, parts, layout.signatures)
        self._run("finding duplicates", join_signatures, [self._whole(parts)], [1])

    def _parts(self, parts: list[Part]) -> None:
        self._each("tokenising", make_part, parts, layout.part_record)

    def _each(
        self,
        stage: str,
        function: Callable[[PartWork, Tell], None],
        parts: list[Part],
        record: Callable[[int], str],
    ) -> None:
        """The parts whose record is missing; the records tell that all of it is there."""
        there = {entry.name for entry in self.target.list(layout.PARTS)}
        left = [part for part in parts if record(part.number).rpartition("/")[2] not in there]
        if len(left) < len(parts):
            print(f"{stage}: {len(parts) - len(left)} of {len(parts)} parts are done already")
        items = [PartWork(corpus=self.corpus, target=self.target.uri, part=part) for part in left]
        done = sum(part.size_bytes for part in parts) - sum(part.size_bytes for part in left)
        self._run(stage, function, items, [part.size_bytes for part in left], done_before=done)

    def _run(
        self,
        stage: str,
        function: Callable[[Any, Tell], None],
        items: list[Any],
        sizes: list[int],
        done_before: int = 0,
    ) -> None:
        for _ in run_tasks(
            self.attempt, function, items, stage=stage, sizes=sizes, done_before=done_before
        ):
            pass

    def _whole(self, parts: list[Part]) -> WholeWork:
        return WholeWork(corpus=self.corpus, target=self.target.uri, parts=tuple(parts))


@contextmanager
def _claimed(target: Storage, attempt: Attempt) -> Iterator[None]:
    """One run at a time makes a corpus: another that comes meanwhile is refused."""
    lease = Lease.acquire(target, of="corpus")
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEW_EVERY_S):
            try:
                lease.renew()
            except LeaseLost as err:
                attempt.stop.ask(f"the claim on {target.uri} was lost: {err.message}")
                return
            except StorageError:
                continue  # it may be back in a moment

    thread = threading.Thread(target=renew, daemon=True, name="corpus-claim")
    thread.start()
    try:
        yield
    except BaseException:
        over.set()
        thread.join()
        lease.release()
        raise
    over.set()
    thread.join()
    target.remove(layout.LEASES)  # a corpus that is made has no maker
