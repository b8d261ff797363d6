"""A plan finds every mistake, starts nothing and writes nothing."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.api import Orchestrator
from orchestrator.cluster.place import Place
from orchestrator.planning.resources import resource_findings
from orchestrator.runs.plan import Plan, Resources
from orchestrator.settings.load import load

PLANTED = "hf_0123456789abcdefg"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print('mine')\n")
    return folder


def plan(project: Path, *overrides: str, storage: str | None = None) -> Plan:
    orchestrator = Orchestrator(storage or str(project.parent / "runs"), working_dir=project)
    return orchestrator.plan("probe", overrides, place=Place.HERE)


def told(made: Plan) -> str:
    return "\n".join(str(finding) for finding in made.findings)


def test_a_good_request_has_no_findings_and_writes_nothing(project: Path) -> None:
    before = sorted(project.parent.rglob("*"))
    made = plan(project, "cluster.num_workers=1")
    assert not made.findings
    assert sorted(project.parent.rglob("*")) == before


def test_the_same_request_has_the_same_fingerprint_and_any_change_another(project: Path) -> None:
    first, again, other = plan(project), plan(project), plan(project, "probe.repeats=6")
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint
    (project / "train.py").write_text("print('changed')\n")
    assert plan(project).fingerprint != first.fingerprint


def test_mistakes_of_every_layer_come_in_one_report(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    (project / "notes.txt").write_text(f"my token is {PLANTED}")
    (project / "jobs").mkdir()
    (project / "jobs" / "probe.py").write_text("def broken(:\n")
    made = plan(project, "cluster.num_workers=4096")
    report = told(made)
    assert "cluster.num_workers=4096" in report and "cannot grow" in report
    assert "notes.txt holds the value of the environment variable HF_TOKEN" in report
    assert "jobs/probe.py does not compile" in report
    assert PLANTED not in report


@pytest.mark.slow
def test_an_extension_that_does_not_import_is_a_finding(project: Path) -> None:
    sources = {
        "lost": (None, "No module named 'lost'"),
        "lacks": ("import nowhere_at_all\n", "No module named 'nowhere_at_all' (line 1 of"),
        "raises": ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero (line 2 of"),
        "broken": ("def broken(:\n", "SyntaxError"),
        "leaves": ("raise SystemExit(3)\n", "SystemExit: 3"),
    }
    for name, (source, _) in sources.items():
        if source is not None:
            (project / f"{name}.py").write_text(source)
    # In a process of its own: what a module imports stays imported.
    code = (
        "from orchestrator.settings.load import load; from pathlib import Path\n"
        f"for name in {list(sources)}:\n"
        f"    given = [f'extensions=[{{name}}]']\n"
        f"    found = load('probe', given, working_dir=Path({str(project)!r}))\n"
        "    print(*found[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (name, (_, said)), line in zip(sources.items(), done.stdout.splitlines(), strict=True):
        assert f"extensions={name} does not import" in line and said in line


def test_a_users_check_is_known_once_its_extension_is_named(project: Path) -> None:
    (project / "my_checks.py").write_text(
        "from orchestrator.settings.probe import CHECKS\n"
        "CHECKS.register('my_mount', lambda bench: {'my_mount_ok': 1.0})\n"
    )
    before = plan(project, "probe.checks=[my_mount]")
    assert "probe.checks=my_mount is not a probe check" in told(before)
    assert not plan(project, "probe.checks=[my_mount]", "extensions=[my_checks]").findings


def test_a_working_directory_over_the_limit_names_its_largest_files(project: Path) -> None:
    (project / "weights.bin").write_bytes(b"0" * 3_000_000)
    made = plan(project, "code.max_bytes=1MB")
    assert "weights.bin (2.9 MiB)" in told(made)


def test_runs_inside_of_the_working_directory_do_not_travel(project: Path) -> None:
    (project / "runs" / "old").mkdir(parents=True)
    (project / "runs" / "old" / "log.txt").write_text("long ago")
    made = plan(project, storage=str(project / "runs"))
    assert made.code is not None and list(made.code.files) == ["train.py"]


@pytest.mark.parametrize("uri", ["/proc/runs", "/dev/null/runs", "s3://", "nfs9://host/x"])
def test_a_storage_that_cannot_be_used_is_a_finding_or_a_refusal(project: Path, uri: str) -> None:
    from orchestrator.errors import OrchestratorError

    try:
        report = told(plan(project, storage=uri))
    except OrchestratorError as err:
        assert err.exit_code == 2
        report = err.message
    assert uri.rstrip("/") in report


def test_a_bucket_that_does_not_exist_is_a_finding(project: Path, s3_uri: str) -> None:
    assert not plan(project, storage=s3_uri).findings
    assert "does not exist" in told(plan(project, storage=s3_uri.replace("bucket-", "bukket-")))


def test_a_full_disk_is_a_finding(project: Path, disks) -> None:  # type: ignore[no-untyped-def]
    disk = disks.mount("size=64k")
    with suppress(OSError):
        (disk / "filler").write_bytes(b"0" * 200_000)
    assert "no space left" in told(plan(project, storage=str(disk / "runs")))


def resources(**has: float) -> Resources:
    return Resources(asked={"GPU": 8.0, "CPU": 8.0}, place="http://head:8265", has=has)


def test_more_than_the_cluster_can_ever_have_is_a_finding_unless_it_grows(project: Path) -> None:
    job, _ = load("probe", ["cluster=gpu_node", "cluster.cpus_per_worker=1"], working_dir=project)
    assert job is not None
    few = list(resource_findings(job, resources(GPU=3, CPU=64)))
    assert [finding.try_ for finding in few] == ["cluster.num_workers=3."]
    assert not list(resource_findings(job, resources(GPU=8, CPU=8)))
    growing = Resources(asked={"GPU": 8.0}, place="http://head:8265", has={"GPU": 0}, can_grow=True)
    assert not list(resource_findings(job, growing))


def test_the_settings_reference_is_up_to_date() -> None:
    from orchestrator.settings.reference import write

    path = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
    assert path.read_text() == write(), "run `make docs`"
