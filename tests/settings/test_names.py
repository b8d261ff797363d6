from __future__ import annotations

import math

import pytest

from orchestrator.errors import RequestError
from orchestrator.settings.names import Table


def test_a_name_gives_the_thing_that_the_table_says() -> None:
    table: Table[object] = Table("function", {"root": "math:sqrt"})
    assert table["root"] is math.sqrt
    assert table["root"] is table["root"]
    assert list(table) == ["root"]


def test_listing_and_asking_imports_nothing() -> None:
    table: Table[object] = Table("function", {"gone": "no.such.module:thing"})
    assert "gone" in table
    assert list(table) == ["gone"]
    with pytest.raises(ModuleNotFoundError):
        table["gone"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    table: Table[object] = Table("function", {"root": "math:sqrt"})
    with pytest.raises(RequestError, match=r"^rot is not a function\. Try root\.$"):
        table["rot"]


def test_a_registered_thing_is_found_and_a_taken_name_is_refused() -> None:
    table: Table[object] = Table("function", {"root": "math:sqrt"})
    table.register("sine", math.sin)
    table.register("sine", math.sin)
    assert table["sine"] is math.sin
    for name in ("sine", "root"):
        with pytest.raises(RequestError, match=f"already a function called {name}"):
            table.register(name, math.cos)
    assert table["root"] is math.sqrt
