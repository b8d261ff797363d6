from __future__ import annotations

from orchestrator.settings.build import build, check
from orchestrator.settings.finding import Finding
from orchestrator.settings.probe import CHECKS, Probe


def _findings(**plain: object) -> list[Finding]:
    value, findings = build(Probe, plain, at="probe")
    return findings if value is None else check(value, at="probe")


def test_every_known_check_can_be_asked_for() -> None:
    assert _findings(checks=list(CHECKS)) == []


def test_an_unknown_check_is_a_finding_with_the_near_name() -> None:
    assert [str(finding) for finding in _findings(checks=["storage", "allreduced"])] == [
        "probe.checks=allreduced is not a probe check. Try allreduce."
    ]


def test_each_message_has_a_size_within_the_limits() -> None:
    probe, findings = build(Probe, {"message_bytes": ["4KiB", "1GiB"]})
    assert findings == []
    assert probe is not None
    assert probe.message_bytes == (4096, 2**30)
    assert [finding.key for finding in _findings(message_bytes=[1, "8TB"])] == [
        "probe.message_bytes[0]",
        "probe.message_bytes[1]",
    ]
