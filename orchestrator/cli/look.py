"""list, status, logs, events, metrics, diff: everything that reads a run's folder."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.api import Orchestrator, Run
from orchestrator.api.made import HEAD, cells, rows_of
from orchestrator.api.scores import COLUMNS, scores_of
from orchestrator.cli.given import Json, RunName, Storage, find
from orchestrator.cli.screen import (
    ago,
    clock,
    coloured,
    console,
    footer,
    lead,
    show_json,
    table,
    took,
)
from orchestrator.cluster.output import for_people
from orchestrator.runs.state import State, Status
from orchestrator.settings.build import flatten, to_plain
from orchestrator.settings.kinds import changed_keys
from orchestrator.settings.pipeline import PipelineJob
from orchestrator.tracking.progress import read_progress
from orchestrator.tracking.wandb.report import read_report

app = typer.Typer()


@app.command("list")
def list_runs(
    storage: Storage = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only runs with this tag.")] = None,
    state: Annotated[State | None, typer.Option("--state", help="Only runs in this state.")] = None,
    as_json: Json = False,
) -> int:
    """All runs, newest last."""
    orchestrator = Orchestrator(storage)
    chosen = [
        (run, status)
        for run, status in orchestrator.runs()
        if (tag is None or tag in status.tags) and (state is None or status.state == state)
    ]
    if as_json:
        show_json("list", runs=[{"run": run.id, **_facts(status)} for run, status in chosen])
        return 0
    if not chosen:
        asked = [f"state {state}"] * bool(state) + [f"tag {tag}"] * bool(tag)
        such = f" with {' and '.join(asked)}" if asked else ""
        console.print(f"No runs{such} in {orchestrator.storage.uri}.")
        footer("orchestrator run probe")
        return 0
    rows = table("run", "state", "attempts", "age", "took", "tags", "reason")
    for run, status in _families(chosen):
        is_part = bool(status.part_of)
        rows.add_row(
            f"└ {run.id}" if is_part else run.id,
            coloured(status.state),
            str(status.attempt or ""),
            ago(status.created),
            took(status),
            " ".join(status.tags),
            status.reason.partition("\n")[0][:60],
        )
    console.print(rows)
    return 0


@app.command()
def status(
    run: RunName,
    storage: Storage = None,
    as_json: Json = False,
    is_watched: Annotated[
        bool, typer.Option("--watch", help="Draw loss and throughput until it is over.")
    ] = False,
) -> int:
    """What one run is doing, or how it ended and what would help."""
    found = find(run, storage)
    if is_watched:
        from orchestrator.cli.watch import watch

        ended = watch(found)
        return ended.exit_code if ended.state.is_over else 0
    now = found.status()
    progress = read_progress(found.folder.storage)
    shown = read_report(found.folder.storage)
    url = shown.url if shown else None
    if as_json:
        facts = {"run": found.id, "uri": found.folder.uri, **_facts(now)}
        if isinstance(job := found.job(), PipelineJob):
            facts["steps"] = to_plain(rows_of(found.folder, job))
            if scores := scores_of(found.folder, job):
                facts["scores"] = scores.plain()
        show_json("status", **facts, progress=to_plain(progress), wandb=url)
        return 0
    console.print(Text.assemble((found.id, "bold"), "  ", coloured(now.state)))
    rows = table("", "")
    for name, value in _described(now).items():
        if value:
            rows.add_row(name, value)
    if progress and not now.state.is_over:
        rows.add_row("stage", progress.stage)
    rows.add_row("folder", found.folder.uri)
    if url:
        rows.add_row("W&B", url)
    console.print(rows)
    if isinstance(job := found.job(), PipelineJob):
        _show_steps(found, job)
    if now.hint:
        footer(now.hint.replace("RUN", found.id))
    return 0


@app.command()
def logs(
    run: RunName,
    storage: Storage = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="To the end of the run; exits with its code.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="With the lines in which Ray talks to itself.")
    ] = False,
) -> int:
    """A run's output, from its folder: the cluster need not be there any more."""
    found = find(run, storage)
    for line in found.logs(follow=follow, say=lambda text: print(text, file=sys.stderr)):
        told = line if everything else for_people(line)
        if told is not None:
            print(told, flush=True)
    if not follow:
        return 0
    ended = found.status()
    print(
        f"{found.id} {ended.state}" + (f": {ended.reason}" if ended.reason else ""), file=sys.stderr
    )
    return ended.exit_code


@app.command()
def events(run: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """What happened to a run, in order, from every process that had a hand in it.

    Fields that are lists or mappings are shown by --json only.
    """
    found = find(run, storage)
    happened = found.events()
    if as_json:
        show_json("events", run=found.id, events=[event.to_plain() for event in happened])
        return 0
    rows = table("time", "attempt", "writer", "kind", "")
    for event in happened:
        said = ", ".join(
            f"{key}={_short(value)}"
            for key, value in event.fields.items()
            if value not in (None, "") and not isinstance(value, dict | list)
        )
        rows.add_row(clock(event.time), str(event.attempt), event.writer, event.kind, said)
    console.print(rows)
    return 0


@app.command()
def metrics(run: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """The latest value of every figure; all of them with --json."""
    found = find(run, storage)
    lines = found.metrics()
    if as_json:
        show_json("metrics", run=found.id, metrics=lines)
        return 0
    if not lines:
        console.print(f"{found.id} has written no metrics yet.")
        return 0
    rows = table("metric", "value", "step")
    for name, (value, step) in _latest(lines).items():
        rows.add_row(name, "none" if value is None else f"{value:,.6g}", str(step))
    console.print(rows)
    return 0


@app.command()
def diff(run_a: RunName, run_b: RunName, storage: Storage = None, as_json: Json = False) -> int:
    """What two runs differ in: settings, code, versions, results."""
    one, other = find(run_a, storage), find(run_b, storage)
    parts = {
        name: changed_keys(facts(one), facts(other))
        for name, facts in (("settings", _settings), ("lineage", _lineage), ("results", _results))
    }
    if as_json:
        changes = {
            name: {key: {"a": a, "b": b} for key, (a, b) in part.items()}
            for name, part in parts.items()
        }
        show_json("diff", a=one.id, b=other.id, **changes)
        return 0
    for name, part in parts.items():
        if not part:
            lead(name, ": no difference")
            continue
        rows = table(name, one.id, other.id)
        for key, (a, b) in part.items():
            rows.add_row(key, _short(a), _short(b))
        console.print(rows)
    return 0


def _families(runs: list[tuple[Run, Status]]) -> list[tuple[Run, Status]]:
    """The steps of a pipeline follow it, whatever began between them."""
    parts: dict[str, list[tuple[Run, Status]]] = {}
    shown = {run.id for run, _ in runs}
    for run, status in runs:
        if status.part_of in shown:
            parts.setdefault(str(status.part_of), []).append((run, status))
    heads = [(run, status) for run, status in runs if status.part_of not in shown]
    return [one for head in heads for one in (head, *parts.get(head[0].id, ()))]


def _show_steps(run: Run, job: PipelineJob) -> None:
    _draw(HEAD, [cells(row) for row in rows_of(run.folder, job)])
    if scores := scores_of(run.folder, job):
        _draw(COLUMNS, list(scores.rows()))


def _draw(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    console.print()
    rows = table(*head)
    for line in lines:
        rows.add_row(*line)
    console.print(rows)


def _facts(status: Status) -> dict[str, Any]:
    return dict(to_plain(status))


def _described(status: Status) -> dict[str, str]:
    place = {"here": "in the foreground", "cluster": status.address or ""}.get(status.place, "")
    return {
        "reason": status.reason,
        "blame": status.blame if status.blame != "nobody" else "",
        "attempt": str(status.attempt or ""),
        "created": f"{clock(status.created)} ({ago(status.created)})" if status.created else "",
        "took": took(status),
        "place": place,
        "driver": status.driver or "",
        "tags": " ".join(status.tags),
        "notes": "\n".join(status.notes),
    }


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 120 else f"{text[:117]}…"


def _latest(lines: list[dict[str, Any]]) -> dict[str, tuple[float | None, int]]:
    latest: dict[str, tuple[float | None, int]] = {}
    for line in lines:
        for name, value in line["values"].items():
            latest[name] = (value, line["step"])
    return latest


def _settings(run: Run) -> dict[str, Any]:
    return flatten(to_plain(run.job()))


def _lineage(run: Run) -> dict[str, Any]:
    lineage = run.folder.lineage()
    git = lineage.get("git") or {}
    return {
        **{f"packages.{name}": version for name, version in lineage["packages"].items()},
        "code": lineage["code"]["fingerprint"],
        "git.commit": git.get("commit"),
        "git.branch": git.get("branch"),
        "git.is_dirty": git.get("is_dirty"),
        "host": lineage["host"]["name"],
        "parent": (lineage.get("parent") or {}).get("run"),
    }


def _results(run: Run) -> dict[str, Any]:
    """Without each rank's own figures: those differ between any two runs."""
    latest = _latest(run.metrics())
    return {
        name: value
        for name, (value, _) in latest.items()
        if not name.startswith(("rank/", "system/"))
    }
