"""A plan, drawn: what is different from the defaults first, then what follows from it."""

from __future__ import annotations

from orchestrator.cli.screen import console, table
from orchestrator.runs.plan import Plan, Resources
from orchestrator.settings.kinds import differences
from orchestrator.settings.units import format_bytes


def draw_plan(plan: Plan) -> None:
    assert plan.job is not None and plan.code is not None and plan.fingerprint is not None
    console.print(f"[bold]{plan.kind}[/]  plan {plan.fingerprint.whole}")
    rows = table("setting", "value", "default")
    changed = differences(plan.job)
    for key, (default, value) in changed.items():
        rows.add_row(key, str(value), str(default))
    console.print(rows if changed else "every setting is at its default")
    facts = table("", "")
    for key, value in plan.derived.items():
        facts.add_row(key, str(value))
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
    for warning in plan.warnings:
        console.print(f"[yellow]warning:[/] {warning}")


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
