"""The encoder that a pretraining job begins with: how large it is, and what of it does not fit.

It is new, or `encoder.py` has found where it comes from and given its model to the job. Called by
`pretrain.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.corpus.tokens.tokenizer import CorpusTokenizer
from orchestrator.encoder.counts import count_parameters
from orchestrator.encoder.directory import directory_findings, read_directory
from orchestrator.encoder.families import BLUEPRINTS, heads_of
from orchestrator.encoder.findings import (
    attention_findings,
    compile_findings,
    has_flash_attn,
    position_findings,
)
from orchestrator.encoder.nearby import nearby
from orchestrator.encoder.words import words_findings
from orchestrator.errors import OrchestratorError
from orchestrator.planning.footprint import Encoder
from orchestrator.runs.folder import RunFolder
from orchestrator.runs.origin import Kind, Origin
from orchestrator.settings.finding import Finding
from orchestrator.settings.objective import Pairs
from orchestrator.settings.pretrain import PretrainJob


@dataclass(frozen=True, kw_only=True)
class Beginning:
    encoder: Encoder
    findings: tuple[Finding, ...]


def begin(job: PretrainJob, origin: Origin | None, tokenizer: CorpusTokenizer) -> Beginning:
    """OrchestratorError where the origin cannot be read."""
    words, pad_id = tokenizer.padded_vocab_size, tokenizer.pad_id
    findings: list[Finding] = []
    if origin is None:
        findings += position_findings(job.model, seq_len=job.batch.seq_len)
    elif origin.kind is Kind.CHECKPOINT:
        assert origin.run is not None
        findings += _run_findings(job, origin.run, tokenizer)
    else:
        with nearby(origin.uri, has_weights=False) as folder:
            directory = read_directory(folder)
            findings += words_findings(folder, tokenizer)
        words, pad_id = directory.vocab_size, directory.pad_id
        findings += directory_findings(
            directory,
            num_words=tokenizer.vocab_size,
            pad_id=tokenizer.pad_id,
            seq_len=job.batch.seq_len,
        )
    counted = count_parameters(
        job.model, vocab_size=words, pad_id=pad_id, heads=heads_of(job.objective)
    )
    encoder = Encoder(model=job.model, vocab_size=words, parameters=counted)
    return Beginning(encoder=encoder, findings=tuple(findings))


def _run_findings(
    job: PretrainJob, run: RunFolder, tokenizer: CorpusTokenizer
) -> Iterator[Finding]:
    try:
        theirs = (run.lineage().get("corpus") or {}).get("tokenizer")
    except OrchestratorError:
        theirs = None  # its weights say more, when they are read
    if theirs not in (None, tokenizer.fingerprint):
        yield Finding(
            key="encoder",
            found=f"={job.encoder}",
            rule=f"was trained with tokenizer {theirs}; the corpus has {tokenizer.fingerprint}.",
            try_="the corpus prepared with the tokenizer of that run.",
        )
    if job.model.max_positions < job.batch.seq_len:
        yield Finding(
            key="encoder",
            found=f"={job.encoder} has {job.model.max_positions} positions",
            rule=f"and batch.seq_len={job.batch.seq_len}.",
            try_=f"batch.seq_len={job.model.max_positions}.",
        )


def head_findings(job: PretrainJob) -> Iterator[Finding]:
    pairs, model = job.objective.pairs, job.model
    if pairs is not Pairs.NONE and heads_of(job.objective) not in BLUEPRINTS[model.family].classes:
        with_pairs = [
            family.value
            for family, blueprint in BLUEPRINTS.items()
            if heads_of(job.objective) in blueprint.classes
        ]
        yield Finding(
            key="objective.pairs",
            found=f"={pairs}",
            rule=f"needs a head for pairs, and the family {model.family} has none.",
            try_=f"objective.pairs=none, or a model of family {' or '.join(with_pairs)}.",
        )


def device_findings(job: PretrainJob) -> Iterator[Finding]:
    """Of this machine's packages; those of a far cluster's nodes are not known."""
    on_gpu = bool(job.cluster.gpus_per_worker)
    yield from attention_findings(job.model, on_gpu=on_gpu, flash_attn=has_flash_attn())
    if job.compute.compile:
        yield from compile_findings(on_gpu=on_gpu, key="compute.compile")
