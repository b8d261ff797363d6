from __future__ import annotations

import pytest

from orchestrator.settings.prepare import PrepareJob
from orchestrator.settings.schema import schema_key, schema_keys

KEYS = schema_keys(PrepareJob)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_of_the_schema_stands_for_itself(key: str) -> None:
    assert schema_key(key, KEYS) == key


@pytest.mark.parametrize("name", ["wiki", "a-b_2", "weight", "sources"])
def test_a_name_that_the_user_gives_may_be_any(name: str) -> None:
    assert schema_key(f"corpus.sources.{name}.weight", KEYS) == "corpus.sources.NAME.weight"
    assert schema_key(f"corpus.sources.{name}", KEYS) in KEYS
    assert schema_key(f"corpus.sources.{name}.nothing", KEYS) not in KEYS
