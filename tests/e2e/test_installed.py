"""The wheel, installed away from the checkout: a user's project has its own conf/ and modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), str(ROOT)], check=True, capture_output=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "conf" / "cluster").mkdir(parents=True)
    (folder / "conf" / "cluster" / "local.yaml").write_text("num_workers: 1\nstop_grace: 7s\n")
    (folder / "conf" / "cluster" / "mine.yaml").write_text("cpus_per_worker: 0.5\n")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").write_text("")
    (folder / "my_package" / "checks.py").write_text(
        "import orchestrator\n"
        "from orchestrator.settings.probe import CHECKS\n"
        "CHECKS.register('home', lambda bench: print(orchestrator.__file__) or {'home': 1.0})\n"
    )
    return folder


def orchestrate(installed: Path, project: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        cwd=project,
        env=os.environ
        | {"PYTHONPATH": str(installed), "ORCHESTRATOR_STORAGE": str(project.parent / "runs")}
        | {"ORCHESTRATOR_HOME": str(project.parent / "state")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_conf_jobs_and_data_travel_with_the_package(installed: Path) -> None:
    bundled = installed / "orchestrator" / "_bundled"
    for name in ("conf", "jobs"):
        ours = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*.*")}
        theirs = {path.relative_to(bundled / name) for path in (bundled / name).rglob("*.*")}
        assert {path for path in ours if "__pycache__" not in path.parts} <= theirs
    carried = {path.name: path.read_bytes() for path in (bundled / "data").iterdir()}
    assert carried == {name: (ROOT / "data" / name).read_bytes() for name in carried}
    assert sorted(carried) == ["README.md", "factbook.jsonl.xz"]


def test_the_users_conf_comes_first_and_ours_is_still_there(installed: Path, project: Path) -> None:
    local = orchestrate(installed, project, "plan", "probe", "--json")
    assert '"cluster.stop_grace": 7.0' in local
    mine = orchestrate(installed, project, "plan", "probe", "cluster=mine", "--json")
    assert '"cluster.cpus_per_worker": 0.5' in mine
    kuberay = ("plan", "probe", "cluster=kuberay", "cluster.address=null", "cluster.num_workers=1")
    shipped = orchestrate(installed, project, *kuberay, "cluster.gpus_per_worker=0", "--json")
    assert '"cluster.start_timeout": 1800.0' in shipped


@pytest.mark.ray
@pytest.mark.long
def test_a_users_package_runs_with_the_installed_one(installed: Path, project: Path) -> None:
    words = ("run", "probe", "extensions=[my_package.checks]", "probe.checks=[home]")
    output = orchestrate(installed, project, *words)
    assert str(installed / "orchestrator" / "__init__.py") in output
