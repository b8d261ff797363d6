"""Where conf/, jobs/ and data/ are: what came with the package, after what is the user's own."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
BUNDLED = "bundled:"  # before the name of a file in data/


def bundled(name: str) -> Path:
    """`conf`, `jobs` or `data` as it came: inside an installed package, beside a checkout's."""
    inside = PACKAGE / "_bundled" / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def places(name: str, working_dir: Path) -> list[Path]:
    """The folders called `name` to look in, first one first."""
    own = (working_dir / name).resolve()
    shipped = bundled(name).resolve()
    return [shipped] if own == shipped or not own.is_dir() else [own, shipped]


def find_job_file(kind: str, working_dir: Path) -> Path:
    candidates = [place / f"{kind}.py" for place in places("jobs", working_dir)]
    return next((path for path in candidates if path.is_file()), candidates[-1])
