"""What a user typed → a frozen Job, or every mistake at once.

Order: overrides against the schema, then Hydra composes (untyped), then our own walk builds the
dataclasses. Hydra alone would stop at the first mistake and cannot type unions or units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from orchestrator.settings.build import build, check, check_parts, flatten, to_plain
from orchestrator.settings.bundled import bundled, places
from orchestrator.settings.extensions import check_extensions
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.job import Job
from orchestrator.settings.kinds import kind_class
from orchestrator.settings.paths import anchor
from orchestrator.settings.schema import NAME, nouns_of, schema_key, schema_keys
from orchestrator.settings.secrets import secret_values


class _UserConfFirst(SearchPathPlugin):
    """Hydra looks in ./conf of the working directory before it looks in ours."""

    folders: tuple[Path, ...] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in self.folders:
            search_path.prepend("working directory", f"file://{folder}")


Plugins.instance().register(_UserConfFirst)


def load(
    kind: str, overrides: Sequence[str], *, working_dir: Path
) -> tuple[Job | None, list[Finding]]:
    """The job, or None and findings. Raises only when `kind` is not a job kind at all."""
    cls = kind_class(kind)
    groups = group_choices(working_dir)
    texts, findings = check_overrides(overrides, cls, groups)
    plain, composed = _compose(kind, texts, working_dir)
    findings += composed
    if plain is None:
        return None, findings
    findings += check_extensions(_modules(plain), working_dir)
    job, built = build(cls, plain)
    built += check(job) if job else check_parts(cls, plain)
    seen = {finding.key for finding in findings}
    findings += [finding for finding in built if finding.key not in seen]
    findings += _secrets_in(plain)
    return (None if findings else anchor(job, working_dir)), findings


def change(
    job: Job, overrides: Sequence[str], *, working_dir: Path
) -> tuple[Job | None, list[Finding]]:
    """A frozen job with overrides on top: what `fork` runs. A group choice replaces that node."""
    groups = group_choices(working_dir)
    texts, findings = check_overrides(overrides, type(job), groups)
    config = OmegaConf.create(_literal(to_plain(job)))
    for text in texts:
        override = _parse(text)
        assert isinstance(override, Override)
        key = override.key_or_group
        if _is_choice(override, groups):
            chosen, found = _compose(job.kind, [text], working_dir)
            findings += found
            OmegaConf.update(config, key, _literal((chosen or {}).get(key, {})), merge=False)
        else:
            OmegaConf.update(config, key, override.value(), force_add=True)
    plain, unresolved = _resolve(config, "the overrides")
    if plain is None:
        return None, findings + unresolved
    findings += check_extensions(_modules(plain), working_dir)
    changed, built = build(type(job), plain)
    findings += built + (check(changed) if changed else check_parts(type(job), plain))
    findings += _secrets_in(plain)
    return (None if findings else anchor(changed, working_dir)), findings


def group_choices(working_dir: Path) -> dict[str, set[str]]:
    """Group → the names that can be chosen in it: the YAML files of conf/GROUP/."""
    groups: dict[str, set[str]] = {}
    for place in places("conf", working_dir):
        for file in place.glob("*/**/*.yaml"):
            group = file.parent.relative_to(place).as_posix()
            groups.setdefault(group, set()).add(file.stem)
    return groups


def check_overrides(
    overrides: Sequence[str], cls: type[Job], groups: dict[str, set[str]]
) -> tuple[list[str], list[Finding]]:
    """The overrides that can be composed, in Hydra's words, and findings about the others."""
    keys = schema_keys(cls)
    texts: list[str] = []
    findings: list[Finding] = []
    for text in overrides:
        override = _parse(text)
        finding = (
            override if isinstance(override, Finding) else _check(override, text, cls, keys, groups)
        )
        if finding is not None:
            findings.append(finding)
        elif isinstance(override, Override):
            # A choice in a group that the primary config leaves open needs the + that was typed.
            is_choice = _is_choice(override, groups)
            texts.append(_quoted(override, text) if is_choice else f"++{text.lstrip('+')}")
    return texts, findings


def _parse(text: str) -> Override | Finding:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as err:
        reason = str(err).splitlines()[0]
        return Finding(
            key="",
            found=f"{text!r}",
            rule=f"cannot be read as key=value: {reason}.",
            try_="key=value; quote values with spaces or brackets: 'note=\"two words\"'.",
        )


def _literal(plain: Any) -> Any:
    """Text that OmegaConf gives back as it is, where a frozen job holds what looks like `${…}`."""
    if isinstance(plain, dict):
        return {key: _literal(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_literal(value) for value in plain]
    if isinstance(plain, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", plain)
    return plain


def _quoted(override: Override, text: str) -> str:
    """Hydra takes `zero=2` for a number, and no number for the name of a file."""
    value = override.value()
    return f"{text.partition('=')[0]}='{value}'" if isinstance(value, int) else text


def _is_choice(override: Override, groups: dict[str, set[str]]) -> bool:
    return override.key_or_group in groups and isinstance(override.value(), str | int)


def _check(
    override: Override, text: str, cls: type[Job], keys: dict[str, Any], groups: dict[str, set[str]]
) -> Finding | None:
    key = override.key_or_group
    if key.partition(".")[0].partition("/")[0] == "hydra":
        return Finding(key=key, found="", rule="is Hydra's own and has no effect here.")
    if override.is_delete():
        return Finding(key=key, found="", rule="cannot be removed.", try_=f"{key}=null.")
    if override.is_sweep_override():
        return Finding(
            key=key,
            found=f"={text.partition('=')[2]}",
            rule="gives several values; a job takes one.",
            try_=f"{key}=[…] for a list, or one command for each value.",
        )
    if key in groups and not isinstance(override.value(), dict):
        choice = str(override.value())
        if _is_choice(override, groups) and choice in groups[key]:
            return None
        return Finding(
            key=key,
            found=f"={text.partition('=')[2]}",
            rule=f"is not a file of conf/{key}/.",
            try_=did_you_mean(choice, groups[key]),
        )
    in_schema = schema_key(key, keys)
    if in_schema in keys or _inside_mapping(in_schema, keys):
        return None
    near = did_you_mean(in_schema, {*keys, *groups}, show=8)
    ends_alike = [name for name in keys if name.endswith(f".{key.rpartition('.')[2]}")]
    if ends_alike and (near.startswith("one of:") or "." not in near[:-1]):
        near = f"{' or '.join(ends_alike)}."
    try_ = _with_names(near, key)
    return Finding(key=key, found="", rule=f"is not a setting of {cls.kind}.", try_=try_)


def _with_names(near: str, typed: str) -> str:
    """The names that were typed, in their places in a key of the schema as deep."""
    parts = near.split(".")
    names = [*typed.split("."), ""]  # `near` is a sentence: it ends in a dot
    if len(parts) != len(names):
        return near
    return ".".join(name if part == NAME else part for part, name in zip(parts, names, strict=True))


def _inside_mapping(key: str, keys: dict[str, Any]) -> bool:
    """Keys below a setting that is itself a mapping, and not one of nouns, are free."""
    parts = key.split(".")
    above = [keys.get(".".join(parts[:length])) for length in range(1, len(parts))]
    free = [kind for kind in above if not any(nouns_of(kind))]
    return any(str(kind).startswith(("dict[", "typing.Any")) for kind in free)


def _compose(
    kind: str, overrides: Sequence[str], working_dir: Path
) -> tuple[dict[str, Any] | None, list[Finding]]:
    _UserConfFirst.folders = tuple(places("conf", working_dir)[:-1])
    try:
        with initialize_config_dir(config_dir=str(bundled("conf")), version_base="1.3"):
            config = compose(kind, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError) as err:
        # The last two: a file that is no UTF-8, or whose content is no mapping.
        return None, [_not_composed(f"conf/{kind}.yaml", err)]
    return _resolve(config, f"conf/{kind}.yaml")


def _resolve(config: DictConfig, source: str) -> tuple[dict[str, Any] | None, list[Finding]]:
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as err:
        return None, [_not_composed(source, err)]
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}, []


def _not_composed(source: str, err: Exception) -> Finding:
    reason = " ".join(str(err).split("Config search path")[0].split())
    return Finding(key="", found=source, rule=f"does not compose: {reason}.")


def _modules(plain: Any) -> list[str]:
    """The extensions that are named well enough to try; `build` has its say about the others."""
    named = plain.get("extensions")
    return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []


def _secrets_in(plain: Any) -> list[Finding]:
    """job.yaml is read by every dashboard: no value of a secret variable may stand in it."""
    secrets = secret_values()
    return [
        Finding(
            key=key,
            found="",
            rule=f"holds the value of the environment variable {name}; job.yaml is not secret.",
            try_="setting that variable on the cluster's nodes, or naming a file that holds it.",
        )
        for key, value in flatten(plain).items()
        for name, secret in secrets.items()
        if any(secret in text for text in _texts(value))
    ]


def _texts(value: Any) -> Iterator[str]:
    """Item by item: a list written out as a whole would escape what it holds."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (str(key), *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    else:
        yield str(value)
