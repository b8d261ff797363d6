from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.errors import RequestError
from orchestrator.settings.extensions import check_extensions, import_extensions


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A working directory whose modules are forgotten afterwards."""
    modules, path = set(sys.modules), sys.path[:]
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_modules_of_the_working_directory_and_installed_ones_are_imported(here: Path) -> None:
    (here / "ext_of_mine").mkdir()
    (here / "ext_of_mine" / "inner.py").write_text("LOADED = True\n")
    import_extensions(["ext_of_mine.inner", "json"], here)
    assert sys.modules["ext_of_mine.inner"].LOADED


def test_a_second_look_at_the_same_place_imports_nothing_again(here: Path) -> None:
    (here / "ext_counted.py").write_text("import sys\nsys.path.append('imported')\n")
    for _ in range(3):
        assert check_extensions(["ext_counted"], here) == []
    assert sys.path.count("imported") == 1
    assert sys.path.count(str(here)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_module_of_ours", "ModuleNotFoundError: No module named 'no_such_"),
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero (line 2 of "),
        ("x = 1\ndef f(:\n", "SyntaxError: "),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ],
)
def test_whatever_a_users_module_raises_is_a_finding_with_its_line(
    here: Path, text: str, said: str
) -> None:
    (here / "ext_broken.py").write_text(text)
    (finding,) = check_extensions(["ext_broken"], here)
    assert (finding.key, finding.found) == ("extensions", "=ext_broken")
    assert said in finding.rule
    assert finding.try_.startswith("`python -c 'import ext_broken'`")
    with pytest.raises(RequestError, match="ext_broken does not import"):
        import_extensions(["ext_broken"], here)


def test_a_module_that_is_nowhere_is_told_where_it_was_looked_for(here: Path) -> None:
    (finding, other) = check_extensions(["ext_nowhere", "ext_nowhere.inner"], here)
    assert str(here) in finding.try_
    assert str(here) in other.try_
