from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import RequestError
from orchestrator.runs.code import (
    CONTENTS,
    SECRET_FILES,
    CodeTree,
    differing_files,
    fingerprint_files,
    read_tree,
    unpack,
    unpacked_fingerprint,
)
from orchestrator.settings.code import Code
from orchestrator.settings.finding import Finding


def _make(root: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return root


def _read(root: Path, *leave_out: Path, **settings: object) -> tuple[CodeTree, list[Finding]]:
    return read_tree(root, Code(**settings), leave_out=leave_out)  # type: ignore[arg-type]


def _travelling(root: Path, *leave_out: Path, **settings: object) -> list[str]:
    tree, findings = _read(root, *leave_out, **settings)
    assert [str(finding) for finding in findings] == []
    return list(tree.files)


def _git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


PATHS = st.lists(st.sampled_from(["a", "b", "src", "x.py", "ü"]), min_size=1, max_size=3)
TREES = st.dictionaries(PATHS.map(lambda p: "/".join(["f", *p]) + ".f"), st.binary(max_size=60))


# ----- the zip


@given(TREES)
def test_what_is_unpacked_is_what_was_read(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    root, other = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("other")
    tree, findings = _read(_make(root, files))
    assert findings == []
    unpack(tree.zip(), other)
    unpacked = {
        path.relative_to(other).as_posix(): path.read_bytes()
        for path in other.rglob("*")
        if path.is_file()
    }
    unpacked.pop(CONTENTS)
    assert unpacked == files
    assert differing_files(other) == []
    assert unpacked_fingerprint(other) == tree.fingerprint
    assert list(_read(other)[0].files) == list(tree.files)


def test_the_same_files_are_the_same_bytes_whatever_their_times_and_places(tmp_path: Path) -> None:
    files = {"b.py": b"x = 1\n" * 500, "a/c.py": b"", "a/b.txt": "é".encode()}
    here = _make(tmp_path / "here", files)
    there = _make(tmp_path / "there", dict(reversed(files.items())))
    for path in there.rglob("*.py"):
        os.utime(path, (10**9, 10**9))
    one, other = _read(here)[0], _read(there)[0]
    assert one.zip() == other.zip() == one.zip()
    assert one.fingerprint == other.fingerprint


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_two_trees_have_one_fingerprint_only_if_they_are_equal(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (fingerprint_files(one) == fingerprint_files(other)) == (one == other)
    assert fingerprint_files(dict(reversed(one.items()))) == fingerprint_files(one)


def test_a_program_stays_a_program(tmp_path: Path) -> None:
    root = _make(tmp_path / "root", {"run.sh": b"#!/bin/sh\n", "plain.py": b""})
    (root / "run.sh").chmod(0o755)
    unpack(_read(root)[0].zip(), tmp_path / "other")
    assert os.access(tmp_path / "other" / "run.sh", os.X_OK)
    assert (tmp_path / "other" / "plain.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("change", ["edit", "delete"])
def test_a_file_that_changed_after_the_plan_is_not_sent_as_if_it_were_planned(
    tmp_path: Path, change: str
) -> None:
    root = _make(tmp_path, {"a.py": b"x = 1\n", "b.py": b""})
    tree, _ = _read(root)
    (root / "a.py").write_bytes(b"x = 2\n") if change == "edit" else (root / "a.py").unlink()
    with pytest.raises(RequestError, match=r"a\.py was changed after the plan was made"):
        tree.zip()


def test_a_worker_sees_every_file_that_is_not_as_it_was(tmp_path: Path) -> None:
    tree, _ = _read(_make(tmp_path / "root", {"a.py": b"1", "b.py": b"2", "c.py": b"3"}))
    other = tmp_path / "other"
    unpack(tree.zip(), other)
    (other / "a.py").write_bytes(b"9")
    (other / "b.py").unlink()
    (other / "new.py").write_bytes(b"")
    assert differing_files(other) == ["a.py", "b.py"]
    assert unpacked_fingerprint(other) not in (None, tree.fingerprint)


def test_a_folder_that_was_not_unpacked_from_a_zip_has_no_fingerprint(tmp_path: Path) -> None:
    assert differing_files(tmp_path) is None
    assert unpacked_fingerprint(tmp_path) is None


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil-of-test-code", "a/../../evil"])
def test_a_zip_that_leads_outside_is_refused_and_nothing_of_it_written(
    tmp_path: Path, name: str
) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.py", "x")
        archive.writestr(name, "x")
    with pytest.raises(ValueError, match="leads outside"):
        unpack(buffer.getvalue(), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/evil-of-test-code").exists()


def test_a_link_to_a_file_travels_as_that_file_and_a_broken_one_stays(tmp_path: Path) -> None:
    root = _make(tmp_path, {"a.py": b"1", "folder/b.py": b"2"})
    (root / "link.py").symlink_to("a.py")
    (root / "gone.py").symlink_to("nowhere")
    (root / "loop.py").symlink_to("loop.py")
    (root / "up").symlink_to(".")
    assert _travelling(root) == ["a.py", "folder/b.py", "link.py"]


# ----- which files travel


@pytest.mark.parametrize("has_git", [True, False])
def test_secrets_caches_and_environments_never_travel(tmp_path: Path, has_git: bool) -> None:
    secret = [name.replace("*", "x") for name in SECRET_FILES]
    other = [".git/x", ".venv/lib/x.py", "a/__pycache__/b.pyc", "wandb/run/x", CONTENTS]
    files = [*secret, *(f"deep/er/{name}" for name in secret), *other, "node_modules/a/b.js"]
    root = _make(tmp_path, dict.fromkeys(["keep.py", *files], b"x"))
    if has_git:
        _git(root, "init", "-q")
        _git(root, "add", "-f", "keep.py", *(name for name in files if not name.startswith(".git")))
    assert _travelling(root) == ["keep.py"]


def test_a_package_may_be_called_as_wandbs_own_folder(tmp_path: Path) -> None:
    root = _make(tmp_path, dict.fromkeys(["wandb/run-1/x", "mine/wandb/a.py"], b"x"))
    assert _travelling(root) == ["mine/wandb/a.py"]


def test_what_git_ignores_stays_and_what_it_does_not_know_yet_travels(tmp_path: Path) -> None:
    files = ["tracked.py", "new.py", "data/big.bin", "deleted.py", "é.py"]
    root = _make(tmp_path, dict.fromkeys(files, b"x"))
    (root / ".gitignore").write_text("data/\n")
    _git(root, "init", "-q")
    _git(root, "add", "tracked.py", "deleted.py")
    (root / "deleted.py").unlink()
    assert _travelling(root) == [".gitignore", "new.py", "tracked.py", "é.py"]


def test_a_folder_inside_of_a_checkout_sends_only_itself(tmp_path: Path) -> None:
    root = _make(tmp_path, {"other/x.py": b"", "mine/a.py": b"", "mine/b/c.py": b""})
    _git(root, "init", "-q")
    assert _travelling(root / "mine") == ["a.py", "b/c.py"]


def test_a_folder_that_the_checkout_above_it_ignores_sends_its_files(tmp_path: Path) -> None:
    root = _make(tmp_path, {".gitignore": b"*\n", "mine/a.py": b"", "mine/b/c.py": b""})
    _git(root, "init", "-q")
    assert _travelling(root / "mine") == ["a.py", "b/c.py"]


@pytest.mark.parametrize("is_tracked", [True, False])
def test_a_checkout_inside_of_the_checkout_travels_without_what_it_ignores(
    tmp_path: Path, is_tracked: bool
) -> None:
    """A submodule, or a clone that git does not know."""
    files = {"a.py": b"", "lib/in/b.py": b"", "lib/c.log": b"", "lib/.gitignore": b"*.log\n"}
    root = _make(tmp_path, files)
    for place in (root / "lib", root):
        _git(place, "init", "-q")
        if is_tracked:
            _git(place, "add", ".")
            _git(place, "commit", "-q", "-m", "first")
    (root / "up").symlink_to("lib")
    assert _travelling(root) == ["a.py", "lib/.gitignore", "lib/in/b.py"]


@pytest.mark.parametrize("has_git", [True, False])
@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("data", ["a.ipynb", "src/b.csv"]),
        ("data/", ["a.ipynb", "src/b.csv"]),
        ("data/*", ["a.ipynb", "src/b.csv", "src/data/d.csv"]),
        ("*.csv", ["a.ipynb"]),
        ("*.ipynb", ["data/b.csv", "data/in/c.csv", "src/b.csv", "src/data/d.csv"]),
        ("src/b.csv", ["a.ipynb", "data/b.csv", "data/in/c.csv", "src/data/d.csv"]),
        ("src", ["a.ipynb", "data/b.csv", "data/in/c.csv"]),
    ],
)
def test_a_pattern_leaves_out_files_and_whole_folders(
    tmp_path: Path, has_git: bool, pattern: str, left: list[str]
) -> None:
    files = ["a.ipynb", "data/b.csv", "data/in/c.csv", "src/b.csv", "src/data/d.csv"]
    root = _make(tmp_path, dict.fromkeys(files, b"x"))
    if has_git:
        _git(root, "init", "-q")
    assert _travelling(root, exclude=(pattern,)) == left


@pytest.mark.parametrize("has_git", [True, False])
def test_the_storage_inside_of_the_working_directory_does_not_travel(
    tmp_path: Path, has_git: bool
) -> None:
    root = _make(tmp_path, {"a.py": b"", "out/runs/x/job.yaml": b"", "out/other.txt": b""})
    if has_git:
        _git(root, "init", "-q")
    assert _travelling(root, root / "out" / "runs") == ["a.py", "out/other.txt"]


# ----- what is refused


def test_a_secret_in_a_file_is_told_by_the_names_of_file_and_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED_TOKEN", "s3cr3t-value-0123")
    root = _make(tmp_path, {"a.py": b"", "conf/b.yaml": b"key: s3cr3t-value-0123\n"})
    _, (finding,) = _read(root)
    assert finding.found == "conf/b.yaml"
    assert "PLANTED_TOKEN" in finding.rule
    assert "s3cr3t" not in str(finding)
    assert _travelling(root, exclude=("conf",)) == ["a.py"]


def test_too_much_is_refused_with_the_largest_files_and_their_sizes(tmp_path: Path) -> None:
    sizes = {"small.py": 10, "big.bin": 700, "bigger.bin": 900, "biggest.bin": 1500}
    root = _make(tmp_path, {path: b"x" * size for path, size in sizes.items()})
    _, (finding,) = _read(root, max_bytes=2000)
    assert finding.key == "code.max_bytes"
    shown = [finding.rule.index(name) for name in ("biggest.bin", "bigger.bin", "big.bin (")]
    assert shown == sorted(shown)
    assert "small.py" not in finding.rule
    assert "1.5 KiB" in finding.rule
    assert "code.exclude" in finding.try_
    assert len(_travelling(root, max_bytes=3110)) == 4


def test_far_too_much_is_refused_without_being_read(tmp_path: Path) -> None:
    root = _make(tmp_path, {"a.py": b"x"})
    with open(root / "huge.bin", "wb") as file:
        file.truncate(2**40)  # a hole: it takes no room, and would take hours to read
    _, (finding,) = _read(root)
    assert "huge.bin (1.0 TiB)" in finding.rule or "huge.bin (1024.0 GiB)" in finding.rule


@pytest.mark.slow
def test_many_files_in_what_is_left_out_hide_no_file_of_the_code(tmp_path: Path) -> None:
    """Without git everything is walked: 21,000 data files come before `src` by name."""
    root = _make(tmp_path, {"src/model.py": b"x", "a_data/x/0": b""})
    first = root / "a_data" / "x" / "0"
    for number in range(1, 21_000):
        os.link(first, first.with_name(str(number)))
    assert _travelling(root, exclude=("a_data/*",)) == ["src/model.py"]
    assert _travelling(root, root / "a_data") == ["src/model.py"]
    _, (finding,) = _read(root)
    assert "more than 20,000 files" in finding.found
    shutil.rmtree(root)


def test_a_file_that_cannot_be_read_or_named_is_a_finding(tmp_path: Path) -> None:
    root = _make(tmp_path, {"a.py": b"x"})
    (root / os.fsdecode(b"caf\xe9.py")).write_bytes(b"x")
    (root / "memory").symlink_to("/proc/self/mem")
    _, findings = _read(root)
    assert sorted(finding.found for finding in findings) == ["caf\\udce9.py", "memory"]
    json.dumps([str(finding) for finding in findings], ensure_ascii=False).encode()
    assert _travelling(root, exclude=("caf*", "memory")) == ["a.py"]


def test_the_unpacked_code_runs(tmp_path: Path) -> None:
    root = _make(tmp_path / "root", {"package/__init__.py": b"", "package/say.py": b"print('hi')"})
    unpack(_read(root)[0].zip(), tmp_path / "other")
    done = subprocess.run(
        [sys.executable, "-m", "package.say"], cwd=tmp_path / "other", capture_output=True
    )
    assert done.stdout == b"hi\n"
