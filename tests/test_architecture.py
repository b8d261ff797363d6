"""The house rules that a reader relies on, read from the syntax trees."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "orchestrator"
# Lowest first: a module may import from its own layer and from those before it.
LAYERS = (
    *("errors", "settings", "runs", "tracking", "corpus", "encoder", "objectives", "tasks"),
    *("training", "cluster", "tuning", "planning", "api", "dashboard", "cli"),
)
# Third-party package → where alone it may be imported.
PLACES = {
    "ray": ("orchestrator.cluster.", "orchestrator.tuning."),
    "deepspeed": ("orchestrator.training.",),
    "wandb": ("orchestrator.tracking.",),
    "hydra": ("orchestrator.settings.load", "jobs."),
    "omegaconf": ("orchestrator.settings.load", "jobs."),
}
# What `plan` must not load, directly or through anything that it imports.
HEAVY = ("ray", "torch", "deepspeed", "transformers", "datasets", "wandb")


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in [*PACKAGE.rglob("*.py"), *ROOT.glob("jobs/*.py")]}


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path: Path, *, only_at_import: bool = False) -> set[str]:
    """Dotted names that a file imports; inside of functions too unless told otherwise."""
    nodes = nodes_of(path)
    if only_at_import:
        inside = {
            inner
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_types(node)
            for inner in ast.walk(node)
        }
        nodes = [node for node in nodes if node not in inside]
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            names |= {
                f"{module}.{alias.name}" if f"{module}.{alias.name}" in MODULES else module
                for alias in node.names
            }
    return names


def is_for_types(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`, which no run enters."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def layer(module: str) -> int | None:
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else None


def all_imports() -> list[tuple[str, str]]:
    return [(module, name) for module, path in sorted(MODULES.items()) for name in imports(path)]


def test_imports_point_down() -> None:
    wrong = []
    for module, name in all_imports():
        own = layer(module)
        other = layer(name) if name.startswith("orchestrator.") else None
        if own is not None and other is not None and other > own:
            wrong.append(f"{module} imports {name}, which is above it")
        if own is not None and name.startswith("jobs"):
            wrong.append(f"{module} imports {name}")
    assert not wrong


def test_frameworks_stay_in_their_place() -> None:
    wrong = []
    for module, name in all_imports():
        allowed = PLACES.get(name.partition(".")[0])
        if allowed is not None and not f"{module}.".startswith(allowed):
            wrong.append(f"{module} imports {name}")
    assert not wrong


def test_every_module_is_in_a_known_layer() -> None:
    free = {"orchestrator", "orchestrator.__main__"}
    ours = {name for name in MODULES if name.startswith("orchestrator")}
    assert not [name for name in ours - free if layer(name) is None]


def test_no_import_cycle() -> None:
    graph = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as err:
        pytest.fail(f"import cycle: {' -> '.join(err.args[1])}")


def test_planning_loads_nothing_heavy() -> None:
    """Everything that the verbs plan, list and status load at import, followed to the leaves."""
    seen: set[str] = set()
    waiting = ["orchestrator.cli.main", "orchestrator.cli.launch", "orchestrator.cli.look"]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        for name in imports(MODULES[module], only_at_import=True):
            assert name.partition(".")[0] not in HEAVY, f"{module} imports {name}"
            if name in MODULES:
                waiting.append(name)


def test_jobs_are_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in ROOT.glob("jobs/*.py")}
    assert not {name: count for name, count in lines.items() if count > 60}
