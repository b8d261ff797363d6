from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.runs.lineage import gather, git_facts, package_versions

SECRET = "s3cr3t-value-0123"


def _git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    done = subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)
    return done.stdout.decode()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "sub").mkdir(parents=True)
    _git(root, "init", "-q", "-b", "trunk")
    for name in ("a.py", "sub/b.py", ".env", "key.pem"):
        (root / name).write_text("before\n")
    _git(root, "add", "-f", ".")
    _git(root, "commit", "-q", "-m", "first")
    return root


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    facts = git_facts(checkout)
    assert facts is not None
    assert facts["commit"] == _git(checkout, "rev-parse", "HEAD").strip()
    assert (facts["branch"], facts["is_dirty"], facts["diff"]) == ("trunk", False, "")


def test_a_dirty_checkout_is_told_with_its_whole_diff_from_wherever_in_it(checkout: Path) -> None:
    (checkout / "a.py").write_text("after\n")
    (checkout / "sub" / "new.py").write_text("x\n")
    for place in (checkout, checkout / "sub"):
        facts = git_facts(place)
        assert facts is not None
        assert facts["is_dirty"]
        assert "-before\n+after" in facts["diff"]
        assert any(path.endswith("new.py") for path in facts["changed"])


def test_the_diff_applies_to_the_commit_and_gives_the_same_files(checkout: Path) -> None:
    (checkout / "a.py").write_text("after\nmore é\n")
    _git(checkout, "config", "color.ui", "always")
    facts = git_facts(checkout)
    assert facts is not None
    _git(checkout, "checkout", "-q", "a.py")
    subprocess.run(["git", "apply"], cwd=checkout, input=facts["diff"].encode(), check=True)
    assert (checkout / "a.py").read_text() == "after\nmore é\n"


def test_a_secret_is_in_neither_diff_nor_command_nor_remote(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", SECRET)
    (checkout / "a.py").write_text(f"token = '{SECRET}'\n")
    for name in (".env", "key.pem"):
        (checkout / name).write_text("hunter2\n")
    _git(checkout, "remote", "add", "origin", f"https://me:{SECRET}@host/x.git")
    monkeypatch.setattr(sys, "argv", ["orchestrator", f"note={SECRET}"])
    lineage = gather(checkout)
    text = json.dumps(lineage)
    assert SECRET not in text
    assert "hunter2" not in text
    assert "token = '«secret»'" in lineage["git"]["diff"]
    assert lineage["git"]["remote"] == "https://host/x.git"


def test_a_very_long_diff_is_cut_and_says_so(checkout: Path) -> None:
    (checkout / "a.py").write_text("x" * 600_000)
    facts = git_facts(checkout)
    assert facts is not None
    assert facts["diff_is_cut"]
    assert len(facts["diff"]) < 600_000


@pytest.mark.parametrize("has_checkout", [False, True])
def test_a_folder_without_a_commit_has_no_git_facts(tmp_path: Path, has_checkout: bool) -> None:
    if has_checkout:  # a checkout that nothing was committed in yet
        _git(tmp_path, "init", "-q")
    assert git_facts(tmp_path) is None
    assert gather(tmp_path)["git"] is None


def test_versions_are_without_the_label_of_a_build() -> None:
    versions = package_versions()
    assert versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert {"ray", "torch", "pyarrow", "hydra-core"} <= set(versions)
    assert not any("+" in version for version in versions.values())


def test_all_that_is_gathered_can_be_kept_as_json(tmp_path: Path) -> None:
    lineage = gather(tmp_path)
    assert json.loads(json.dumps(lineage)) == lineage
    assert lineage["schema"] == "orchestrator.lineage/1"
    assert lineage["host"]["cpus"] >= 1
