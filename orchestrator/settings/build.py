"""Plain mappings → frozen dataclasses, and back. Collects every mistake instead of stopping.

Called by `load` for what a user typed and by runs for a frozen job.yaml. Pure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args, get_origin

from orchestrator.settings.field import Bounds
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.schema import field_types, is_noun, join, key_of, nouns_of, options_of
from orchestrator.settings.units import Unit, parse

T = TypeVar("T")
_WRONG = object()  # stands for a value that could not be built; a finding says why


def build(cls: type[T], plain: object, *, at: str = "") -> tuple[T | None, list[Finding]]:
    """The dataclass, or None with at least one finding. `at` is the dotted key of `plain`."""
    findings: list[Finding] = []
    value = _dataclass(cls, plain, at, findings)
    return (None if value is _WRONG or findings else value), findings


def check(value: object, *, at: str = "") -> list[Finding]:
    """What each noun of a built tree says about itself: rules between its fields, names it uses.

    Apart from `build`, because a frozen job is read where the user's extensions, and so the names
    that they register, are not at hand.
    """
    rules: Iterator[Finding] = value.findings() if hasattr(value, "findings") else iter(())
    findings = [dataclasses.replace(finding, key=join(at, finding.key)) for finding in rules]
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        inner = getattr(value, field.name)
        is_named = isinstance(inner, Mapping)
        for dotted, noun in _placed(inner, join(at, key_of(field.name)), is_named=is_named):
            if is_noun(type(noun)):
                findings += check(noun, at=dotted)
    return findings


def check_parts(cls: type, plain: object, *, at: str = "") -> list[Finding]:
    """`check` where the whole could not be built: of each noun below it that could."""
    findings: list[Finding] = []
    if not isinstance(plain, Mapping):
        return findings
    for name, kind in field_types(cls).items():
        key = key_of(name)
        for noun, is_named in nouns_of(kind):
            for dotted, below in _placed(plain.get(key), join(at, key), is_named=is_named):
                part, _ = build(noun, below)
                findings += check(part, at=dotted) if part else check_parts(noun, below, at=dotted)
    return findings


def _placed(value: object, at: str, *, is_named: bool) -> Iterator[tuple[str, Any]]:
    """A setting's value with its dotted key; of a mapping from names, each of its values."""
    if not is_named:
        yield at, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield join(at, name), item


def to_plain(value: object) -> Any:
    """Dataclasses, tuples and enums as mappings, lists and scalars: what YAML and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {key_of(name): to_plain(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def defaults_of(value: object) -> dict[str, Any]:
    """The plain tree that it would be if nothing had been set; what must be given is absent."""
    tree: dict[str, Any] = {}
    for field in dataclasses.fields(value):  # type: ignore[arg-type]
        key, inner = key_of(field.name), getattr(value, field.name)
        factory: Any = field.default_factory
        if is_noun(type(inner)):
            tree[key] = defaults_of(inner)
        elif isinstance(inner, Mapping) and all(is_noun(type(item)) for item in inner.values()):
            tree[key] = {name: defaults_of(item) for name, item in inner.items()}
        elif field.default is not dataclasses.MISSING:
            tree[key] = to_plain(field.default)
        elif factory is not dataclasses.MISSING:
            tree[key] = to_plain(factory())
    return tree


def flatten(plain: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys. An empty mapping is a value of its own."""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        dotted = join(at, key)
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, at=dotted))
        else:
            flat[dotted] = value
    return flat


def _wrong(at: str, value: object, rule: str, try_: str, findings: list[Finding]) -> Any:
    findings.append(Finding(key=at, found=f"={value}", rule=rule, try_=try_))
    return _WRONG


def _dataclass(cls: type, plain: object, at: str, findings: list[Finding]) -> Any:
    if not isinstance(plain, Mapping):
        known = ", ".join(key_of(field.name) for field in dataclasses.fields(cls))
        return _wrong(at, plain, "must be a mapping.", f"keys out of: {known}.", findings)
    fields = {key_of(field.name): field for field in dataclasses.fields(cls)}
    for key in plain:
        if key not in fields:
            hint = did_you_mean(str(key), fields)
            findings.append(
                Finding(key=join(at, key), found="", rule="is not a setting.", try_=hint)
            )
    values: dict[str, Any] = {}
    before = len(findings)
    for key, field in fields.items():
        dotted = join(at, key)
        if key in plain:
            bounds: Bounds = field.metadata.get("bounds", Bounds())
            kind = field_types(cls)[field.name]
            values[field.name] = _value(kind, plain[key], dotted, bounds, findings)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            doc = field.metadata.get("doc", "")
            findings.append(
                Finding(key=dotted, found="", rule="must be given:", try_=f"{dotted}=… ({doc})")
            )
    if len(findings) > before:
        return _WRONG
    return cls(**values)


def _value(kind: Any, plain: Any, at: str, bounds: Bounds, findings: list[Finding]) -> Any:
    options = options_of(kind)
    if len(options) > 1:
        return _union(options, plain, at, bounds, findings)
    if is_noun(kind):
        return _dataclass(kind, plain, at, findings)
    origin = get_origin(kind)
    if origin is tuple:
        return _tuple(get_args(kind)[0], plain, at, bounds, findings)
    if origin is dict:
        return _dict(get_args(kind)[1], plain, at, bounds, findings)
    value = _scalar(kind, plain, at, findings)
    rule = None if value is _WRONG else bounds.broken_by(value)
    return _wrong(at, plain, rule, "", findings) if rule else value


def _union(
    options: tuple[Any, ...], plain: Any, at: str, bounds: Bounds, out: list[Finding]
) -> Any:
    if plain is None and type(None) in options:
        return None
    attempts: list[list[Finding]] = []
    for option in (option for option in options if option is not type(None)):
        findings: list[Finding] = []
        value = _value(option, plain, at, bounds, findings)
        if value is not _WRONG:
            return value
        attempts.append(findings)
    if len(attempts) == 1:
        out.extend(attempts[0])
        return _WRONG
    shapes = " or ".join(_said(option) for option in options)
    return _wrong(at, plain, f"must be {shapes}.", "", out)


def _tuple(kind: Any, plain: Any, at: str, bounds: Bounds, findings: list[Finding]) -> Any:
    if not isinstance(plain, list | tuple):
        return _wrong(at, plain, "must be a list.", f"{at}=[{plain}].", findings)
    items = [_value(kind, item, f"{at}[{i}]", bounds, findings) for i, item in enumerate(plain)]
    return _WRONG if any(item is _WRONG for item in items) else tuple(items)


def _dict(kind: Any, plain: Any, at: str, bounds: Bounds, findings: list[Finding]) -> Any:
    if not isinstance(plain, Mapping):
        return _wrong(at, plain, "must be a mapping.", f"{at}={{key: value}}.", findings)
    items = {
        str(key): _value(kind, item, join(at, key), bounds, findings) for key, item in plain.items()
    }
    return _WRONG if any(item is _WRONG for item in items.values()) else items


def _scalar(kind: Any, plain: Any, at: str, findings: list[Finding]) -> Any:
    if kind is Any:
        return plain
    if get_origin(kind) is Annotated:
        number, unit = get_args(kind)[:2]
        return _number(number, unit, plain, at, findings)
    if kind in (int, float):
        return _number(kind, Unit.COUNT, plain, at, findings)
    if isinstance(kind, type) and issubclass(kind, Enum):
        known = [member.value for member in kind]
        if plain in known:
            return kind(plain)
        return _wrong(at, plain, "is not a choice.", did_you_mean(str(plain), known), findings)
    if kind is bool:
        if isinstance(plain, bool):
            return plain
        return _wrong(at, plain, "must be true or false.", "", findings)
    if kind is str:
        if isinstance(plain, str):
            return _text(plain, at, findings)
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            return str(plain)
        return _wrong(at, plain, "must be text.", "", findings)
    raise TypeError(f"{at}: settings cannot be declared as {kind}")


def _text(plain: str, at: str, findings: list[Finding]) -> Any:
    """Bytes of a command line that are no UTF-8 arrive as code points that no file can hold."""
    try:
        plain.encode()
    except UnicodeEncodeError:
        return _wrong(at, ascii(plain), "must be text in UTF-8.", "", findings)
    return plain


def _number(kind: type, unit: Unit, plain: Any, at: str, findings: list[Finding]) -> Any:
    try:
        number = parse(plain, unit)
    except ValueError as err:
        return _wrong(at, plain, f"{err}.", "", findings)
    if kind is int and number != int(number):
        return _wrong(at, plain, "must be a whole number.", f"{round(number)}.", findings)
    return kind(number)


def _said(kind: Any) -> str:
    if kind is type(None):
        return "null"
    if get_origin(kind) is tuple:
        return f"a list of {_said(get_args(kind)[0])}"
    if get_origin(kind) is Annotated:
        return f"a number of {get_args(kind)[1].value}"
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        kind, getattr(kind, "__name__", str(kind))
    )
