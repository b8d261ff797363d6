"""Tell somebody that a run ended: a command, a webhook. What fails here never hurts the run."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from orchestrator.settings.notify import Notify, is_web_address
from orchestrator.settings.secrets import mask

_TIMEOUT_S = 30.0


def tell(notify: Notify, ending: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Do what is asked for this ending; yields the facts of each try, for the ledger."""
    if ending["state"] not in [choice.value for choice in notify.when]:
        return
    body = json.dumps(ending).encode()
    if notify.command:
        yield {"hook": "command", "program": notify.command[0], **_run(notify.command, body)}
    if notify.url or notify.url_file:
        yield {"hook": "webhook", **_post(notify, body)}


def _run(command: tuple[str, ...], body: bytes) -> dict[str, Any]:
    try:
        done = subprocess.run(command, input=body, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, ValueError, subprocess.TimeoutExpired) as err:
        return {"ok": False, "reason": mask(str(err))}
    words = mask(done.stderr.decode(errors="replace")).strip()[-500:]
    return {"ok": done.returncode == 0, "exit_code": done.returncode, "stderr": words}


def _post(notify: Notify, body: bytes) -> dict[str, Any]:
    try:
        url = notify.url or Path(str(notify.url_file)).expanduser().read_text().strip()
        if not is_web_address(url):  # a file: or ftp: URL would be read, and nobody told
            return {"ok": False, "reason": "what notify.url_file holds is not an http or https URL"}
        request = urllib.request.Request(
            url, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return {"ok": True, "http_status": answer.status}
    except (OSError, ValueError, RuntimeError, HTTPException) as err:
        # The URL itself may be the secret, and some errors quote it.
        return {"ok": False, "reason": f"{type(err).__name__} {getattr(err, 'code', '')}".strip()}
