"""What the guides name is there: files, headings, verbs, and settings in the commands shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli.main import VERBS
from orchestrator.settings.kinds import KINDS
from orchestrator.settings.load import load

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"orchestrator ((?:run|plan|submit) [a-z]+ [^`\n|]*|[a-z]+)")

_OWN = re.compile(r"…|\$|=mine")  # a reader's own


def names(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("guide", GUIDES, ids=names)
def test_every_link_leads_somewhere(guide: Path) -> None:
    for target in _LINK.findall(guide.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = (guide.parent / file) if file else guide
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def anchors(guide: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", guide.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("guide", GUIDES, ids=names)
def test_every_command_is_one(guide: Path, tmp_path: Path) -> None:
    for line in lines(guide):
        for command in _COMMAND.findall(line):
            verb, *words = shlex.split(command.partition("  ")[0], comments=True)
            assert verb in VERBS, command
            is_own = "extensions=" in command  # which bring settings of their own
            if verb in ("run", "plan", "submit") and words and words[0] in KINDS and not is_own:
                problems = [str(each) for each in mistakes(words, tmp_path)]
                assert problems == [], command


def lines(guide: Path) -> Iterator[str]:
    """Of code: what is shown to be typed."""
    is_code = False
    for line in guide.read_text().splitlines():
        if line.startswith("```"):
            is_code = not is_code
        elif is_code or line.startswith("    "):
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


def mistakes(words: list[str], folder: Path) -> Iterator[object]:
    """Of names and values; what must be given beside is not asked."""
    kind, *rest = words
    overrides = [word for word in rest if "=" in word and not _OWN.search(word)]
    _, findings = load(kind, overrides, working_dir=folder)
    for finding in findings:
        if "must be given" not in finding.rule:
            yield finding
