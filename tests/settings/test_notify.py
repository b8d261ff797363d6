from __future__ import annotations

import pytest

from orchestrator.settings.build import build, check
from orchestrator.settings.finding import Finding
from orchestrator.settings.notify import Ending, Notify


def _findings(**plain: object) -> list[Finding]:
    value, findings = build(Notify, plain, at="notify")
    return findings if value is None else check(value, at="notify")


def test_all_endings_are_told_by_default() -> None:
    assert set(Notify().when) == set(Ending)


@pytest.mark.parametrize("url", ["http://host/path", "https://hooks.example.com:8443/a?b=c"])
def test_a_web_address_is_a_webhook(url: str) -> None:
    assert _findings(url=url) == []


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/x", "host/path", "https://", "file:///etc/passwd", ""),
        *("http://[::1", "http://host:port/x", "http://host:99999/x", "http://ho st/x"),
    ],
)
def test_what_is_no_web_address_is_a_finding(url: str) -> None:
    findings = _findings(url=url)
    assert [finding.key for finding in findings] == ["notify.url"]
    assert findings[0].try_


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    findings = _findings(url="https://me:hunter2@host/x")
    assert [finding.key for finding in findings] == ["notify.url"]
    assert "hunter2" not in str(findings[0])
    assert "notify.url_file" in findings[0].try_


def test_one_place_for_the_url_not_two() -> None:
    findings = _findings(url="http://host/x", url_file="/etc/hook")
    assert [finding.key for finding in findings] == ["notify.url"]


def test_the_url_file_is_an_absolute_path_because_the_driver_is_elsewhere() -> None:
    for right in ("/etc/hook", "~/hook"):
        assert _findings(url_file=right) == []
    findings = _findings(url_file="hook.txt")
    assert [finding.key for finding in findings] == ["notify.url_file"]
