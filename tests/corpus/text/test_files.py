from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.corpus.text.files import find_files, locate
from orchestrator.errors import RequestError
from orchestrator.runs.storage import Storage
from orchestrator.settings.bundled import bundled

KEY = "corpus.sources.wiki.path"
TREE = ("a.txt", "b c.txt", "d.md", "x/a.txt", "x/y/a.txt", "x/y/ü%20#.txt", "z/.hidden.txt")
PATTERNS = {
    "*.txt": ["a.txt", "b c.txt"],
    "[ad].*": ["a.txt", "d.md"],
    "*/a.txt": ["x/a.txt"],
    "x/*/*.txt": ["x/y/a.txt", "x/y/ü%20#.txt"],
    "**/a.txt": ["a.txt", "x/a.txt", "x/y/a.txt"],
    "x/**": ["x/a.txt", "x/y/a.txt", "x/y/ü%20#.txt"],
}


def below(storage: Storage, pattern: str) -> str:
    """In front of the options of a URI."""
    path, mark, options = storage.uri.partition("?")
    return f"{path}/{pattern}{mark}{options}"


def refused(path: str) -> str:
    with pytest.raises(RequestError) as caught:
        find_files(path, KEY)
    return str(caught.value)


def test_a_pattern_finds_the_same_files_on_a_disk_and_on_a_store(storage: Storage) -> None:
    for name in TREE:
        storage.write(name, name.encode())
    for pattern, names in PATTERNS.items():
        found = find_files(below(storage, pattern), KEY)
        places = [locate(file.uri) for file in found]
        contents = [folder.read(name).decode() for folder, name in places]
        assert sorted(contents) == names
        assert [file.uri for file in found] == sorted(file.uri for file in found)
        assert [file.size_bytes for file in found] == [len(text.encode()) for text in contents]
        assert all(file.modified > 1.6e9 for file in found)


def test_what_is_not_there_is_told_with_the_setting_and_what_is(storage: Storage) -> None:
    for name in TREE:
        storage.write(name, name.encode())
    path = below(storage, "a.text")
    assert f"{KEY}={path} does not exist." in refused(path)
    assert "Its folder holds a.txt." in refused(path)
    assert "matches no file" in refused(below(storage, "*.parquet"))
    assert "matches no file" in refused(below(storage, "nowhere/*.txt"))
    for folder in ("x", "x/"):
        assert "is a folder" in refused(below(storage, folder))
        assert f"Try {below(storage, 'x/*.txt')}" in refused(below(storage, folder))


def test_a_bucket_that_is_not_there_is_not_an_empty_one(s3_uri: str) -> None:
    uri = s3_uri.replace("s3://bucket-", "s3://other-bucket-")
    for path in (uri, uri.replace("/runs?", "/*.txt?")):
        assert "there is no bucket other-bucket-" in refused(path)
    bucket = s3_uri.replace("/team%20a/runs?", "?")
    assert "is a folder" in refused(bucket)


def test_a_name_is_taken_as_it_is_before_it_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("itself")
    (tmp_path / "a1.txt").write_text("matched")
    assert [file.uri for file in find_files(f"{tmp_path}/a[1].txt", KEY)] == [
        f"{tmp_path}/a[1].txt"
    ]


def test_a_relative_path_and_a_home_folder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("a.txt", "*.txt", "~/a.txt", "~/*.txt", (tmp_path / "a.txt").as_uri()):
        (file,) = find_files(path, KEY)
        folder, name = locate(file.uri)
        assert folder.read(name) == b"x"


def test_bundled_files_keep_a_name_that_holds_on_every_node() -> None:
    names = sorted(path.name for path in bundled("data").glob("*.xz"))
    found = find_files("bundled:*.xz", KEY)
    assert [file.uri for file in found] == [f"bundled:{name}" for name in names]
    assert {file.modified for file in found} == {0.0}  # each attempt unpacks them anew
    folder, name = locate(found[0].uri)
    assert folder.size(name) == found[0].size_bytes > 0
    assert "bundled:nothing.txt does not exist" in refused("bundled:nothing.txt")
    assert "does not name anything below" in refused("bundled:../pyproject.toml")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.TGZ", "a.txt.bz2"])
def test_an_archive_is_not_taken_for_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert "packed in a way that is not read" in refused(str(tmp_path / name))
    assert "packed in a way that is not read" in refused(f"{tmp_path}/a.*")
