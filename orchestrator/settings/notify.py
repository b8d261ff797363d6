"""Who is told when a run ends: a command, a webhook, or both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding


def is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False
    is_one_word = url.isascii() and url.isprintable() and " " not in url
    return parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and is_one_word


class Ending(Enum):
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Notify:
    command: tuple[str, ...] = setting(
        "Program and arguments, run by the driver without a shell; the ending is JSON on its stdin",
        default=(),
    )
    url: str | None = setting("Webhook that gets the ending as JSON by POST", default=None)
    url_file: str | None = setting(
        "File on the driver's node that holds the webhook's URL, where the URL is a secret",
        default=None,
        bounds=Bounds(pattern=r"/.+|~/.+", pattern_said="an absolute path"),
    )
    when: tuple[Ending, ...] = setting("Which endings are told", default=tuple(Ending))

    def findings(self) -> Iterator[Finding]:
        if self.url is None:
            return
        if self.url_file is not None:
            yield Finding(
                key="url",
                found=f"={self.url}",
                rule="and notify.url_file are both given.",
                try_="one of them.",
            )
        if not is_web_address(self.url):
            yield Finding(
                key="url",
                found=f"={self.url}",
                rule="is not an http or https URL.",
                try_="http://host/path.",
            )
        elif "@" in urlsplit(self.url).netloc:
            yield Finding(
                key="url",
                found=f" for {urlsplit(self.url).hostname}",
                rule="holds a user or password, which every reader of job.yaml would see.",
                try_="notify.url_file=/path/on/the/driver's/node.",
            )
