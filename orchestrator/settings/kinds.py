"""The job kinds that exist, and the frozen form in which a job is kept and sent (job.yaml)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from orchestrator.errors import RequestError, SettingsError
from orchestrator.settings.build import build, defaults_of, flatten, to_plain
from orchestrator.settings.evaluate import EvaluateJob
from orchestrator.settings.export import ExportJob
from orchestrator.settings.finding import did_you_mean
from orchestrator.settings.finetune import FinetuneJob
from orchestrator.settings.job import Job
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.settings.predict import PredictJob
from orchestrator.settings.prepare import PrepareJob
from orchestrator.settings.pretrain import PretrainJob
from orchestrator.settings.probe import ProbeJob
from orchestrator.settings.sweep import SweepJob

KINDS: dict[str, type[Job]] = {
    cls.kind: cls
    for cls in (
        *(PrepareJob, PretrainJob, FinetuneJob, SweepJob, EvaluateJob, ExportJob, PredictJob),
        *(ProbeJob, PipelineJob),
    )
}
SCHEMA = "orchestrator.job/1"


def kind_class(kind: str) -> type[Job]:
    if kind not in KINDS:
        raise RequestError(f"{kind} is not a job. Try {did_you_mean(kind, KINDS)}")
    return KINDS[kind]


class _Exact(yaml.SafeDumper):
    """YAML folds some line breaks of Unicode inside of plain text; between double quotes none."""


def _exact_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Exact.add_representer(str, _exact_text)


def freeze(job: Job) -> str:
    """The text of job.yaml. Reading it back with `thaw` gives an equal job."""
    document = {"schema": SCHEMA, "kind": job.kind, "settings": to_plain(job)}
    return yaml.dump(document, Dumper=_Exact, sort_keys=False, allow_unicode=True)


def thaw(text: str, *, source: str = "job.yaml") -> Job:
    """Plain YAML on purpose: a second pass through Hydra would expand `${…}` again."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise RequestError(f"{source} is damaged: {' '.join(str(err).split())}.") from err
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, Mapping) else type(document).__name__
        raise RequestError(
            f"{source} has schema {found}; this version reads {SCHEMA}.",
            hint="Open it with the version of orchestrator that wrote it (see lineage.json).",
        )
    kind = str(document.get("kind"))
    if kind not in KINDS:
        raise RequestError(f"{source} is of kind {kind}; this version knows {', '.join(KINDS)}.")
    job, findings = build(KINDS[kind], document.get("settings"))
    if job is None:
        raise SettingsError([f"{source}: {finding}" for finding in findings])
    return job


def fingerprint(job: Job) -> str:
    canonical = json.dumps({"kind": job.kind, "settings": to_plain(job)}, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def differences(job: Job) -> dict[str, tuple[Any, Any]]:
    """Dotted key → (default, value) for each setting that is not at its default."""
    return changed_keys(flatten(defaults_of(job)), flatten(to_plain(job)))


def changed_keys(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """An empty mapping that the other side fills is told by what fills it."""
    keys = list(dict.fromkeys([*old, *new]))
    pairs = {key: (old.get(key), new.get(key)) for key in keys}
    filled = [key for key in keys if any(other.startswith(f"{key}.") for other in keys)]
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and key not in filled}
