from __future__ import annotations

from pathlib import Path

from orchestrator.settings.bundled import bundled, find_job_file, places


def test_a_folder_of_the_users_own_comes_first(tmp_path: Path) -> None:
    assert places("conf", tmp_path) == [bundled("conf")]
    (tmp_path / "conf").mkdir()
    assert places("conf", tmp_path) == [tmp_path / "conf", bundled("conf")]


def test_this_checkout_is_not_listed_twice() -> None:
    assert places("conf", bundled("conf").parent) == [bundled("conf")]


def test_a_users_own_entry_point_is_run_in_place_of_ours(tmp_path: Path) -> None:
    assert find_job_file("probe", tmp_path) == bundled("jobs") / "probe.py"
    own = tmp_path / "jobs" / "probe.py"
    own.parent.mkdir()
    own.touch()
    assert find_job_file("probe", tmp_path) == own
    assert find_job_file("other", tmp_path) == bundled("jobs") / "other.py"
