"""A prepared corpus as a plan sees it: what of a job it does not fit, and how far it goes.

Its manifest and its tokenizer tell; both are small, wherever it lies, and no shard is read.
`pretrain.py` asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from xxhash import xxh3_128_hexdigest

from orchestrator.corpus import layout
from orchestrator.corpus.packs.cut import Cutting
from orchestrator.corpus.packs.mixture import Portion
from orchestrator.corpus.packs.pairs import Pairing
from orchestrator.corpus.packs.window import num_windows, window_documents
from orchestrator.corpus.shards.manifest import Manifest, parse_manifest, read_bytes
from orchestrator.corpus.shards.verify import copy_tokenizer
from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer, open_tokenizer
from orchestrator.errors import RequestError
from orchestrator.runs.storage import LocalStorage, Storage
from orchestrator.settings.finding import Finding
from orchestrator.settings.objective import Pairs
from orchestrator.settings.pretrain import PretrainJob

_FILL = 0.997  # of the room of packs, as best fit leaves it
_LEFT = 0.75  # of a mean sentence: what a sample has no room for at its end


@dataclass(frozen=True, kw_only=True)
class Prepared:
    uri: str
    checksum: str  # of the manifest's bytes, and so of every shard
    manifest: Manifest
    tokenizer: CorpusTokenizer


def read_prepared(corpus: Storage) -> Prepared:
    data = read_bytes(corpus)
    return Prepared(
        uri=corpus.uri,
        checksum=xxh3_128_hexdigest(data),
        manifest=parse_manifest(data, corpus.uri_of(layout.MANIFEST)),
        tokenizer=_tokenizer(corpus),
    )


def _tokenizer(corpus: Storage) -> CorpusTokenizer:
    if isinstance(corpus, LocalStorage):
        return open_tokenizer(corpus.path(layout.TOKENIZER))
    with TemporaryDirectory() as folder:
        copy_tokenizer(corpus, Path(folder))
        return open_tokenizer(Path(folder))


def cutting_of(job: PretrainJob, tokenizer: CorpusTokenizer, seq_len: int) -> Cutting:
    """RequestError where special tokens leave no room for text."""
    return Cutting(
        seed=job.seed,
        seq_len=seq_len,
        template=tokenizer.template,
        pairing=Pairing(job.objective.pairs.value),
        short_share=job.objective.short_share,
    )


def prepared_findings(job: PretrainJob, prepared: Prepared) -> Iterator[Finding]:
    """Where one is about its sources or tokenizer, the others would speak of the same again."""
    manifest, tokenizer = prepared.manifest, prepared.tokenizer
    asked, there = list(job.corpus.sources), list(manifest.sources)
    if set(asked) != set(there):
        yield Finding(
            key="corpus.sources",
            found=f" are {', '.join(asked)}",
            rule=f"and {prepared.uri} was prepared from {', '.join(there)}.",
            try_="the settings with which it was prepared, or another corpus.path.",
        )
        return
    wrong = [*_tokenizer_findings(job, prepared)]
    yield from wrong
    if not wrong:
        yield from _amount_findings(job, prepared)
    held_back = manifest.splits[layout.VALIDATION].statistics.documents
    if job.evaluation.every_steps is not None and not held_back:
        yield Finding(
            key="evaluation.every_steps",
            found=f"={job.evaluation.every_steps}",
            rule=f"needs documents for validation, and {prepared.uri} keeps none.",
            try_="evaluation.every_steps=null, or a larger corpus.validation_share before it is "
            "prepared.",
        )
    if tokenizer.fingerprint != manifest.tokenizer.fingerprint:
        found = f"has fingerprint {tokenizer.fingerprint}, not {manifest.tokenizer.fingerprint}"
        yield Finding(
            key="",
            found=f"{prepared.uri}/{layout.TOKENIZER} {found}:",
            rule="it is not the one with which the text was tokenised.",
            try_=f"`orchestrator corpus verify {prepared.uri}`.",
        )


def prepared_warnings(job: PretrainJob, prepared: Prepared) -> Iterator[str]:
    if prepared.manifest.fingerprint != job.corpus.fingerprint:
        yield (
            f"{prepared.uri} was prepared with other settings (fingerprint "
            f"{prepared.manifest.fingerprint[:8]}) than corpus.* has here "
            f"({job.corpus.fingerprint[:8]}); what it holds is what is trained on."
        )


def _tokenizer_findings(job: PretrainJob, prepared: Prepared) -> Iterator[Finding]:
    tokenizer, pairs = prepared.tokenizer, job.objective.pairs
    try:
        _ = tokenizer.vocabulary
    except RequestError as err:
        yield Finding(key="objective", found="", rule=err.message, try_=err.hint or "")
    try:
        template = tokenizer.template
        if pairs is not Pairs.NONE and not template.middle:
            yield Finding(
                key="objective.pairs",
                found=f"={pairs}",
                rule="needs a tokenizer that puts a separator between two texts; the corpus's "
                "puts none.",
                try_="objective.pairs=none.",
            )
            return
        for seq_len in (*map(int, job.batch.shorter_first), job.batch.seq_len):
            cutting_of(job, tokenizer, seq_len)
    except RequestError as err:
        yield Finding(key="batch.seq_len", found="", rule=err.message, try_=err.hint or "")


def _amount_findings(job: PretrainJob, prepared: Prepared) -> Iterator[Finding]:
    packs = packs_per_epoch(job, prepared)
    if packs < job.batch.packs:
        pack_tokens = job.batch.pack_tokens
        yield Finding(
            key="batch.global_tokens",
            found=f"={job.batch.global_tokens}",
            rule=f"is {job.batch.packs} packs a step, and an epoch of the corpus has about "
            f"{packs}: a step would read documents twice.",
            try_=f"batch.global_tokens={max(1, packs // 8) * pack_tokens}, or more text.",
        )


def packs_per_epoch(job: PretrainJob, prepared: Prepared) -> int:
    """Estimated from counts alone: right to some percent, and to a pack where there are few."""
    cutting = cutting_of(job, prepared.tokenizer, job.batch.seq_len)
    template = cutting.template
    middle = () if cutting.pairing is Pairing.NONE else template.middle
    num_special = len(template.prefix + middle + template.suffix)
    tokens = reads = 0.0
    for portion, counts in _portions(job, prepared.manifest):
        share = portion.num_reads / max(portion.num_documents, 1)
        mean_sentence = counts.tokens / max(counts.sentences, 1)
        samples = counts.tokens / _mean_sample(cutting, mean_sentence) + counts.rows / 2
        tokens += share * (counts.tokens + num_special * max(samples, counts.rows))
        reads += portion.num_reads
    pack_tokens = job.batch.pack_tokens
    split = prepared.manifest.splits[layout.TRAIN]
    of_window = window_documents(
        num_documents=split.statistics.documents,
        num_tokens=split.statistics.tokens,
        pack_tokens=pack_tokens,
    )
    windows = num_windows(round(reads), of_window)
    return windows * max(1, -(-round(tokens) // round(windows * pack_tokens * _FILL)))


@dataclass(kw_only=True)
class _Counts:
    rows: int = 0
    tokens: int = 0
    sentences: int = 0


def _portions(job: PretrainJob, manifest: Manifest) -> Iterator[tuple[Portion, _Counts]]:
    by_source = {name: _Counts() for name in manifest.sources}
    for shard in manifest.splits[layout.TRAIN].shards:
        counts = by_source[shard.source]
        counts.rows += shard.rows
        counts.tokens += shard.tokens
        counts.sentences += shard.sentences
    for name, counts in by_source.items():
        weight = job.corpus.sources[name].weight
        yield Portion(num_documents=counts.rows, weight=weight), counts


def _mean_sample(cutting: Cutting, mean_sentence: float) -> float:
    """Tokens of text in a sample that no document ends."""
    left = _LEFT * mean_sentence
    whole, short = cutting.budget - left, cutting.budget / 2 - left
    mean = (1 - cutting.short_share) * whole + cutting.short_share * max(short, mean_sentence)
    return min(max(mean, mean_sentence), float(cutting.budget))
