"""docs/settings.md, written from the dataclasses: `python -m orchestrator.settings.reference`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

from orchestrator.settings.build import to_plain
from orchestrator.settings.kinds import KINDS
from orchestrator.settings.schema import NAME, field_types, is_noun, join, nouns_of, options_of
from orchestrator.settings.units import EXAMPLES, Unit

_HEAD = """# Settings

Written from the dataclasses of `orchestrator/settings/` by `make docs`; do not edit.

A setting has one dotted name everywhere: on the command line (`cluster.num_workers=2`), in YAML,
in errors and in a run's `job.yaml`. A job is composed from its primary config, `conf/<job>.yaml`,
the choices of its groups (`cluster=gpu_node` takes `conf/cluster/gpu_node.yaml`) and the overrides
of the command line, in this order. A `conf/` folder in the working directory comes before the one
that was installed. `NAME` in a setting stands for a name of yours: `corpus.sources.books.path=[…]`.

Numbers can be typed with units: {units}.

Every mistake is reported at once, with the setting, what was found, the rule and what to try.
Nothing starts while there is one.

`extensions=[my_package.my_module]` imports modules of yours, from the working directory or
installed packages, before the settings are checked; they may register names for settings to use
(see [clusters.md](clusters.md#the-probe)).
"""


def write() -> str:
    units = "; ".join(f"{unit.value} as {said}" for unit, said in EXAMPLES.items())
    parts = [_HEAD.format(units=units)]
    for kind, cls in KINDS.items():
        parts.append(f"## {kind}\n\n| setting | type | default | meaning |\n|---|---|---|---|")
        parts[-1] += "".join(f"\n{row}" for row in _rows(cls, ""))
        parts[-1] += "\n"
    return "\n".join(parts)


def _rows(cls: type, at: str) -> Iterator[str]:
    for field in dataclasses.fields(cls):
        key = join(at, field.name)
        kind = field_types(cls)[field.name]
        if is_noun(kind):
            yield from _rows(kind, key)
            continue
        doc = field.metadata.get("doc", "").replace("|", "\\|").replace("<", "&lt;")
        yield f"| `{key}` | {_type(kind)} | {_default(field)} | {doc} |"
        for noun, is_named in nouns_of(kind):
            yield from _rows(noun, join(key, NAME) if is_named else key)


def _type(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return {Unit.COUNT: "number", Unit.SECONDS: "time", Unit.BYTES: "bytes"}[get_args(kind)[1]]
    if get_origin(kind) is tuple:
        return f"list of {_type(get_args(kind)[0])}"
    if get_origin(kind) is dict or is_noun(kind):
        return "mapping"
    if len(options_of(kind)) > 1:
        return " or ".join(_type(option) for option in options_of(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(str(member.value) for member in kind)
    names = {type(None): "null", int: "whole number", float: "number", str: "text", bool: "yes/no"}
    return names.get(kind, str(kind))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "must be given"
    value = to_plain(field.default)
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`" if value != "" else "empty"


if __name__ == "__main__":
    print(write(), end="")
