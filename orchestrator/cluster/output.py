"""An attempt's output lines: the log keeps them all, people are spared what Ray says to itself."""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREFIX = re.compile(r"^\((?P<actor>\w+) pid=\d+(?:, ip=[\d.]+)?\) ?")
# Actors of Ray Train's own machinery; what they mean for a run is told by the run's events.
_RAYS_OWN = ("TrainController", "PlacementGroupCleaner", "TrainStateActor", "PreemptionWatcher")
_CORE = re.compile(r"^\[\d{4}-\d\d-\d\d [\d:,.]+ [A-Z] \d+ \d+\]|^[\d-]+ [\d:,]+\t(INFO|WARNING) ")


def plain(line: str) -> str:
    """Without colour codes: what is written to the run's log."""
    return _COLOURS.sub("", line)


def for_people(line: str) -> str | None:
    """A log line as a person wants it, or None for Ray's own chatter."""
    match = _PREFIX.match(line)
    if match and match["actor"] in _RAYS_OWN:
        return None
    said = line[match.end() :] if match else line
    return None if _CORE.match(said) or said.startswith("Setting up process group") else said
