"""What a `pretrain` job would be: counts, memory, steps, time and price, and all that is wrong.

`make.py` adds it to the plan. Settings, small files of the corpus and older runs tell; nothing is
started, and no shard is read.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.corpus.layout import corpus_uri
from orchestrator.encoder.counts import published
from orchestrator.errors import NotFoundError, OrchestratorError
from orchestrator.planning.cost import Speed, cost, extent
from orchestrator.planning.footprint import CHOICES, Encoder, footprint
from orchestrator.planning.prepared import (
    Prepared,
    packs_per_epoch,
    prepared_findings,
    prepared_warnings,
    read_prepared,
)
from orchestrator.planning.room import needs, room_findings, room_for, room_warnings, worlds_of
from orchestrator.planning.speed import Measured, speed_of
from orchestrator.planning.start import begin, device_findings, head_findings
from orchestrator.runs.origin import Origin
from orchestrator.runs.plan import Resources
from orchestrator.runs.storage import LocalStorage, Storage, open_storage
from orchestrator.settings.finding import Finding
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.zero import Zero
from orchestrator.training.recipe import course_of
from orchestrator.training.rules import idle_share, training_findings, training_warnings


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a job is planned in."""

    storage: Storage
    resources: Resources
    overrides: tuple[str, ...] = ()
    origin: Origin | None = None  # of `encoder`, where it was found
    read: dict[str, Any] = field(default_factory=dict)  # by an earlier step of its pipeline


@dataclass(kw_only=True)
class Outlook:
    """`derived` has numbers with their units in the names; a list of mappings is a table."""

    findings: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    derived: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)


def look_ahead(job: PretrainJob, around: Surroundings) -> Outlook:
    outlook = Outlook(findings=[*training_findings(job, max_positions=None)])
    outlook.warnings += training_warnings(job)
    outlook.findings += _far_findings(job, around)
    outlook.findings += head_findings(job)
    told = list(device_findings(job))
    if around.resources.is_this_machine:
        outlook.findings += told
    else:  # its nodes may have what this machine lacks
        outlook.warnings += [f"If workers are like this machine: {finding}" for finding in told]
    prepared = _prepared(job, around, outlook)
    if prepared is None or (job.encoder is not None and around.origin is None):
        return outlook  # of both, what is wrong is said already
    try:
        beginning = begin(job, around.origin, prepared.tokenizer)
    except OrchestratorError as err:
        outlook.findings.append(Finding(key="", found=err.message, rule=err.hint or ""))
        return outlook
    encoder = beginning.encoder
    outlook.findings += beginning.findings
    outlook.findings += room_findings(job, encoder, around.resources)
    outlook.warnings += room_warnings(job, encoder, around.resources)
    outlook.derived |= _model_facts(job, encoder)
    if not outlook.findings:
        outlook.derived |= _course_facts(job, prepared, around)
        outlook.derived |= _memory_facts(job, encoder, around.resources)
    return outlook


def _prepared(job: PretrainJob, around: Surroundings, outlook: Outlook) -> Prepared | None:
    """The corpus, if there is one that fits the job."""
    corpus = open_storage(corpus_uri(around.storage.uri, job.corpus))
    try:
        prepared = read_prepared(corpus)
    except NotFoundError:
        outlook.findings.append(_not_prepared(job, corpus, around))
        return None
    except OrchestratorError as err:
        outlook.findings.append(Finding(key="", found=err.message, rule=err.hint or ""))
        return None
    wrong = list(prepared_findings(job, prepared))
    outlook.findings += wrong
    outlook.warnings += prepared_warnings(job, prepared)
    manifest = prepared.manifest
    outlook.derived["corpus"] = prepared.uri
    outlook.lineage["corpus"] = {
        "uri": prepared.uri,
        "fingerprint": manifest.fingerprint,
        "manifest": prepared.checksum,
        "tokenizer": prepared.tokenizer.fingerprint,
    }
    return None if wrong else prepared


def _not_prepared(job: PretrainJob, corpus: Storage, around: Surroundings) -> Finding:
    """With the command that prepares it, from the words that were typed here."""
    words = [text for text in around.overrides if text.lstrip("+~").startswith("corpus")]
    words = [text for text in words if not text.startswith("corpus_cache")]
    if not words:
        words.insert(0, f"corpus={job.corpus.name}")
    usual = os.environ.get("ORCHESTRATOR_STORAGE") or str(Path.cwd() / "runs")
    if around.storage.uri != open_storage(usual).uri:
        words.append(f"--storage={around.storage.uri}")
    return Finding(
        key="corpus",
        found=f"={job.corpus.name}",
        rule=f"is not prepared: {corpus.uri} has no manifest.json.",
        try_=f"`orchestrator run prepare {shlex.join(words)}`.",
    )


def _far_findings(job: PretrainJob, around: Surroundings) -> Iterator[Finding]:
    resources, path = around.resources, job.corpus.path
    if resources.is_this_machine or path is None:
        return
    storage = open_storage(path)
    if isinstance(storage, LocalStorage) and not storage.is_shared():
        yield Finding(
            key="corpus.path",
            found=f"={path}",
            rule=f"is on a disk of this machine; the nodes of {resources.place} cannot see it.",
            try_="a folder that every node mounts, or an object store: s3://…",
        )


def _model_facts(job: PretrainJob, encoder: Encoder) -> dict[str, Any]:
    model, counted = encoder.model, encoder.parameters
    facts: dict[str, Any] = {
        "model": f"{model.family}: {model.layers} layers of {model.hidden}, {model.heads} heads",
        "vocabulary": encoder.vocab_size,
        "parameters": counted.total,
        "parameters_not_embedding": counted.non_embedding,
    }
    if (figure := published(model)) is not None:
        millions = f"{figure.parameters / 1e6:g} M"
        facts["parameters_published"] = f"{millions} with {figure.counted}"
    return facts


def _course_facts(job: PretrainJob, prepared: Prepared, around: Surroundings) -> dict[str, Any]:
    course = course_of(job)
    epoch_tokens = packs_per_epoch(job, prepared) * job.batch.pack_tokens
    at_once = job.cluster.num_workers * job.batch.micro_packs
    facts: dict[str, Any] = {
        "packs_per_step": job.batch.packs,
        "accumulation": -(-job.batch.packs // at_once),
        "tokens_per_epoch": epoch_tokens,
    }
    measured = speed_of(job, around.storage)
    if measured is not None:
        facts |= _cost_facts(job, measured, epoch_tokens)
    elif course.horizon is not None:
        reached = extent(course, course.horizon, tokens_per_epoch=epoch_tokens)
        facts |= {"steps": reached.steps, "tokens": reached.tokens}
        facts["epochs"] = round(reached.epochs, 2)
    return facts


def _cost_facts(job: PretrainJob, measured: Measured, epoch_tokens: int) -> dict[str, Any]:
    cluster = job.cluster
    price = cluster.dollars_per_worker_hour
    speed = Speed(
        tokens_per_s=measured.tokens_per_s * cluster.num_workers,
        dollars_per_hour=(price or 0.0) * cluster.num_workers,
    )
    told = cost(course_of(job), speed, tokens_per_epoch=epoch_tokens)
    facts: dict[str, Any] = {
        "steps": told.extent.steps,
        "tokens": told.extent.tokens,
        "epochs": round(told.extent.epochs, 2),
        "tokens_per_s": round(speed.tokens_per_s),
        "speed_from": measured.said,
        "duration_s": round(told.duration_s, 1),
    }
    if told.is_cut_short:
        facts["cut_short_by"] = "budget.max_duration"
    if price is not None:
        facts["dollars"] = round(told.dollars, 2)
    return facts


def _memory_facts(job: PretrainJob, encoder: Encoder, resources: Resources) -> dict[str, Any]:
    chosen = footprint(job, encoder, job.zero, job.cluster.num_workers)
    return {
        "checkpoint_bytes": chosen.checkpoint,
        "activations_bytes": chosen.activations,
        "memory_per_worker": [_choice_row(job, encoder, zero) for zero in CHOICES],
        "worlds": [_world_row(job, encoder, resources, world) for world in worlds_of(job)],
    }


def _choice_row(job: PretrainJob, encoder: Encoder, zero: Zero) -> dict[str, Any]:
    of_worker = footprint(job, encoder, zero, job.cluster.num_workers)
    offloaded = ["optimizer"] * zero.offload_optimizer + ["parameters"] * zero.offload_parameters
    return {
        "zero": zero.stage,
        "offloaded": ", ".join(offloaded),
        "states_bytes": of_worker.states,
        "device_peak_bytes": of_worker.peak,
        "host_bytes": of_worker.host,
        "together_bytes": None if of_worker.on_gpu else of_worker.whole,
        "checkpoint_bytes": of_worker.checkpoint,
        "is_chosen": zero == job.zero,
    }


def _world_row(
    job: PretrainJob, encoder: Encoder, resources: Resources, world: int
) -> dict[str, Any]:
    batch = job.batch
    at_once = world * batch.micro_packs
    room = room_for(job, resources, world)
    return {
        "workers": world,
        "accumulation": -(-batch.packs // at_once),
        "idle_share": round(idle_share(batch.packs, at_once), 4),
        "device_peak_bytes": footprint(job, encoder, job.zero, world).peak,
        "host_needed_bytes": needs(job, encoder, world),
        "host_there_bytes": room.size_bytes if room else None,
    }
