"""What a `finetune` job would be: its data read and checked, steps counted; nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.encoder.counts import count_parameters
from orchestrator.encoder.directory import read_directory
from orchestrator.encoder.families import WORDS_ONLY
from orchestrator.encoder.nearby import nearby
from orchestrator.errors import OrchestratorError, SettingsError
from orchestrator.planning.encoder import model_of_origin
from orchestrator.planning.pretrain import Outlook, Surroundings
from orchestrator.runs.origin import Kind, Origin
from orchestrator.settings.finding import Finding
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.model import Model
from orchestrator.settings.schedule import Counted
from orchestrator.settings.task import TRAIN, Task
from orchestrator.settings.transfer import ClassWeights, Way
from orchestrator.tasks.findings import (
    check_task,
    cut_warnings,
    encoder_findings,
    position_findings,
    question_findings,
)
from orchestrator.tasks.read import Examples, read_task, unread_roles
from orchestrator.tasks.tokens import open_task_tokenizer
from orchestrator.training.rules import device_findings

_SCORED = ("regression", "similarity")
_WEIGHTED = ("classification", "tagging")  # by their classes, or tags
_UNWEIGHTED = (*_SCORED, "multilabel", "intent_slots", "qa", "choice", "entailment")


def look_ahead_task(job: FinetuneJob, around: Surroundings) -> Outlook:
    outlook = Outlook(findings=list(fine_tune_findings(job)))
    examples = _examples(job.task, outlook, around.read)
    if around.origin is not None:
        try:
            model = model_of_origin(around.origin)
            outlook.findings += _origin_findings(job, around.origin, model, examples, around.read)
        except OrchestratorError as err:
            outlook.findings.append(Finding(key="", found=err.message, rule=err.hint or ""))
        else:
            outlook.derived |= {"encoder_parameters": _parameters(model)}
    if examples is not None and not outlook.findings:
        outlook.derived |= _extent(job, examples)
    return outlook


def fine_tune_findings(job: FinetuneJob) -> Iterator[Finding]:
    """Of the settings alone."""
    yield from device_findings(job.precision, job.zero, job.cluster)
    if job.schedule.counted_in is Counted.TOKENS:
        yield Finding(
            key="schedule.counted_in",
            found="=tokens",
            rule="has no meaning here: examples have as many tokens as they have.",
            try_="schedule.counted_in=steps.",
        )
    if job.zero.stage == 3 and job.transfer.way is Way.ADAPTERS:
        yield Finding(
            key="zero.stage",
            found="=3",
            rule="does not go with transfer.way=adapters: what they are added to is divided.",
            try_="zero.stage=1.",
        )
    transfer, kind = job.transfer, job.task.kind
    if transfer.label_smoothing and kind in _SCORED:
        yield Finding(
            key="transfer.label_smoothing",
            found=f"={transfer.label_smoothing:g}",
            rule=f"has no class to be less certain of: task.kind={kind} predicts a score.",
            try_="0.",
        )
    if transfer.class_weights is ClassWeights.BALANCED and kind in _UNWEIGHTED:
        yield Finding(
            key="transfer.class_weights",
            found="=balanced",
            rule=f"is for tasks that choose one of several classes: {', '.join(_WEIGHTED)}; "
            f"task.kind={kind} has none, or not only those.",
            try_="equal.",
        )


def _examples(task: Task, outlook: Outlook, known: dict[str, Any]) -> Examples | None:
    """What is on a hub is read when it runs: a plan fetches nothing. `known` was read before."""
    if task.data.hub is not None and not Path(task.data.hub).exists():
        outlook.warnings.append(f"{task.data.hub} is read, and checked, when the run starts.")
        return None
    try:
        key = f"data {task!r}"
        if key not in known:
            examples, problems = read_task(task)
            found = list(problems.findings()) or list(check_task(task, examples))
            told = [
                f"the rows of {task.name} have a column {role}, which is not read: "
                f"task.columns.{role}={role} reads it."
                for role in unread_roles(task)
            ]
            known[key] = examples, found, [*told, *cut_warnings(task, examples)]
        read: Examples = known[key][0]
        outlook.findings += known[key][1]
        outlook.warnings += known[key][2]
    except SettingsError as err:
        outlook.findings += [Finding(key="", found=line, rule="") for line in err.lines]
    except OrchestratorError as err:
        outlook.findings.append(Finding(key="", found=err.message, rule=err.hint or ""))
    else:
        return read
    return None


def _origin_findings(
    job: FinetuneJob,
    origin: Origin,
    model: Model,
    examples: Examples | None,
    known: dict[str, Any],
) -> Iterator[Finding]:
    if origin.kind is not Kind.CHECKPOINT:
        key = f"encoder {origin.uri}"
        if key not in known:
            with nearby(origin.uri, has_weights=False) as folder:
                known[key] = read_directory(folder), open_task_tokenizer(folder)
        directory, tokenizer = known[key]
        yield from encoder_findings(job.task, directory, tokenizer)
        if examples is not None:
            yield from question_findings(job.task, examples, tokenizer)
    else:
        yield from position_findings(job.task, model.max_positions, job.encoder)
    transfer = job.transfer
    wanted = max(
        transfer.layers if transfer.way is Way.LAST else 0,
        transfer.new_layers,
        transfer.reading.num_layers,
    )
    if wanted > model.layers:
        yield Finding(
            key="transfer",
            found=f" asks for {wanted} layers",
            rule=f"and encoder={job.encoder} has {model.layers}.",
        )


def _parameters(model: Model) -> int:
    """Without word embeddings, whose number the tokenizer says."""
    return count_parameters(model, vocab_size=0, pad_id=0, heads=WORDS_ONLY).total


def _extent(job: FinetuneJob, examples: Examples) -> dict[str, Any]:
    per_epoch = -(-len(examples[TRAIN]) // job.batch.examples)
    return {
        "examples": {name: len(some) for name, some in examples.splits.items()},
        "steps_per_epoch": per_epoch,
        "steps": max(1, round(job.budget.epochs * per_epoch)) * job.num_seeds,
        "seeds": list(range(job.seed, job.seed + job.num_seeds)),
    }
