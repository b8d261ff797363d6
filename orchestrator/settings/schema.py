"""What the dataclasses say that a job may hold: every dotted key, and its type. Pure.

Called by `build`, by `load` for what was typed, and by the settings reference.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeGuard, Union, get_args, get_origin

NAME = "NAME"  # stands for a name that the user gives: corpus.sources.NAME.path


@cache
def field_types(cls: type) -> dict[str, Any]:
    """Field name → resolved type, annotations included."""
    return typing.get_type_hints(cls, include_extras=True)


def schema_keys(cls: type, *, at: str = "") -> dict[str, Any]:
    """Every dotted key of a dataclass tree → its type. Inner nodes are there as well as leaves."""
    keys: dict[str, Any] = {}
    for name, kind in field_types(cls).items():
        if name not in cls.__dataclass_fields__:  # type: ignore[attr-defined]
            continue
        dotted = join(at, key_of(name))
        keys[dotted] = kind
        for noun, is_named in nouns_of(kind):
            below = join(dotted, NAME) if is_named else dotted
            keys.setdefault(below, noun)
            keys.update(schema_keys(noun, at=below))
    return keys


def schema_key(typed: str, keys: Mapping[str, Any]) -> str:
    """The key of the schema that a typed one stands for: a name that the user gave is NAME."""
    parts: list[str] = []
    for part in typed.split("."):
        above = keys.get(".".join(parts))
        parts.append(NAME if any(is_named for _, is_named in nouns_of(above)) else part)
    return ".".join(parts)


def nouns_of(kind: Any) -> Iterator[tuple[type, bool]]:
    """The dataclasses that a setting may hold, and whether by name, as the values of a mapping."""
    for option in options_of(kind):
        if is_noun(option):
            yield option, False
        elif get_origin(option) is dict and is_noun(get_args(option)[1]):
            yield get_args(option)[1], True


def is_noun(kind: object) -> TypeGuard[type]:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def options_of(kind: Any) -> tuple[Any, ...]:
    """The members of a union; a type that is none is its own only option."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def join(at: str, key: object) -> str:
    return f"{at}.{key}" if at else str(key)


def key_of(name: str) -> str:
    """A trailing underscore lets a field be called like a Python keyword: `lambda_`."""
    return name.rstrip("_")
