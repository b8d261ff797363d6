"""A plan, drawn: what is different from the defaults first, then what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.cli.screen import console, lead, table
from orchestrator.runs.plan import Plan, Resources
from orchestrator.settings.kinds import differences
from orchestrator.settings.units import format_bytes, format_duration

_MOST_ROWS = 12  # of a table; --json has all


def draw_plan(plan: Plan) -> None:
    assert plan.job is not None and plan.code is not None and plan.fingerprint is not None
    lead(plan.kind, f"  plan {plan.fingerprint.whole}")
    rows = table("setting", "value", "default")
    changed = differences(plan.job)
    for key, (default, value) in changed.items():
        rows.add_row(key, str(value), str(default))
    console.print(rows if changed else "every setting is at its default")
    facts = table("", "")
    tables = {}
    for key, value in plan.derived.items():
        if _is_table(value):
            tables[key] = value
        else:
            facts.add_row(*_said(key, value))
    if plan.resources is not None:
        facts.add_row("asked", _amounts(plan.resources.asked))
        facts.add_row("there", _there(plan.resources))
    code = plan.code
    facts.add_row(
        "code", f"{len(code.files)} files, {format_bytes(code.size_bytes)}, {code.fingerprint}"
    )
    facts.add_row("git", _git(plan))
    facts.add_row("storage", plan.storage)
    if plan.parent:
        facts.add_row("parent", str(plan.parent["run"]))
    console.print(facts)
    for key, rows_of_it in tables.items():
        if len(rows_of_it) > 1:
            console.print()
            _draw_table(key, rows_of_it)
    for warning in plan.warnings:
        lead("warning:", f" {warning}", style="yellow")


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _draw_table(key: str, given: list[dict[str, Any]]) -> None:
    """The row that is chosen, where one is, begins with an arrow."""
    names = [name for name in given[0] if name != "is_chosen"]
    names = [name for name in names if any(row[name] not in (None, "") for row in given)]
    rows = table("", *(_said(name, None)[0] for name in names), title=key.replace("_", " "))
    for row in given[:_MOST_ROWS]:
        is_chosen = bool(row.get("is_chosen"))
        cells = [_said(name, row[name])[1] for name in names]
        rows.add_row("▶" if is_chosen else "", *cells, style="bold" if is_chosen else None)
    console.print(rows)
    if len(given) > _MOST_ROWS:
        console.print(f"  … and {len(given) - _MOST_ROWS} more; --json has all.")


def _said(key: str, value: Any) -> tuple[str, str]:
    """A name and a value for people: the unit at the end of a name goes to the number."""
    if key.endswith("_per_s"):
        key = key.removesuffix("_per_s") + "_a_second"
    name = key.replace("_", " ")
    for ending, said in _UNITS.items():
        if key.endswith(ending) and not isinstance(value, str):
            return key.removesuffix(ending).replace("_", " "), "" if value is None else said(value)
    if value is None:
        return name, ""
    if isinstance(value, bool | str):
        return name, str(value)
    return name, f"{value:,}" if isinstance(value, int | float) else str(value)


_UNITS: dict[str, Callable[[float], str]] = {
    "_bytes": format_bytes,
    "_share": "{:.0%}".format,
    "_s": format_duration,
}


def _git(plan: Plan) -> str:
    git = plan.lineage.get("git")
    if not git:
        return "no checkout"
    dirty = f", {len(git['changed'])} files changed since" if git["is_dirty"] else ""
    return f"{git['commit'][:12]} on {git['branch']}{dirty}"


def _there(resources: Resources) -> str:
    where = "this machine" if resources.place == "here" else resources.place
    grows = ", can grow" if resources.can_grow else ""
    nodes = f", {resources.nodes} nodes" if resources.nodes and resources.nodes > 1 else ""
    return f"{_amounts(resources.has or {})} at {where}{nodes}{grows}"


def _amounts(amounts: dict[str, float]) -> str:
    said = [
        f"{format_bytes(amount)} of memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in amounts.items()
    ]
    return ", ".join(said) or "nothing"
