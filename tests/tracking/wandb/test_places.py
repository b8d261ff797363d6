from __future__ import annotations

from pathlib import Path

from orchestrator.tracking.wandb import places


def test_the_next_forwarder_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    left = Path(places.temporary(scratch))
    (left / "socket").touch()
    (scratch / "cache").mkdir()
    places.clear(scratch)
    assert not left.exists() and not scratch.exists()
    places.clear(scratch)


def test_nothing_is_cleared_that_no_forwarder_made(tmp_path: Path) -> None:
    scratch, mine = tmp_path / "scratch", tmp_path / "mine"
    for folder in (scratch, mine):
        folder.mkdir()
    (scratch / "temporary").write_text(str(mine))
    places.clear(scratch)
    assert mine.exists()


def test_a_forwarder_that_ends_leaves_nothing(tmp_path: Path) -> None:
    made = Path(places.temporary(tmp_path))
    places.leave()
    assert not made.exists()
