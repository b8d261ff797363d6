"""Where conf/ and jobs/ are: the user's own first, then the ones that came with the package."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def bundled(name: str) -> Path:
    """`conf` or `jobs` as it came with the package: inside an installed one, beside a checkout."""
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
