from __future__ import annotations

from orchestrator.settings.bundled import PACKAGE
from orchestrator.settings.reference import write


def test_the_reference_in_docs_is_that_of_the_settings() -> None:
    """`make docs` writes it."""
    assert (PACKAGE.parent / "docs" / "settings.md").read_text() == write()
