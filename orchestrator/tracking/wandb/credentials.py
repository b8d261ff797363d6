"""Where the key of W&B comes from: the node's environment, a file named by the job, ~/.netrc.

Never from a setting, an argument or a file of the run. It stays in the forwarder's own memory and
in that of wandb-core, its child; everything that is written is masked (settings/secrets.py).
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.errors import RequestError
from orchestrator.settings.tracking import Mode, Tracking

KEY = "WANDB_API_KEY"
_MODE = "WANDB_MODE"
_MODES = {
    **{"online": Mode.ONLINE, "offline": Mode.OFFLINE, "dryrun": Mode.OFFLINE},
    **{"disabled": Mode.OFF},
}
# Others would change which run is written, or how, behind the job's back.
_KEPT = (KEY, "WANDB_BASE_URL", "WANDB_CONFIG_DIR", "WANDB_ERROR_REPORTING")


@dataclass(frozen=True, kw_only=True)
class Access:
    mode: Mode  # ONLINE or OFFLINE
    server_url: str
    key: str | None = field(repr=False)


def clean(environ: MutableMapping[str, str]) -> None:
    """Leaves of W&B's own variables those that say where the server is and who we are."""
    for name in [name for name in environ if name.startswith("WANDB_") and name not in _KEPT]:
        del environ[name]
    environ.setdefault("WANDB_ERROR_REPORTING", "false")


def find_key(tracking: Tracking, host: str, environ: Mapping[str, str]) -> str | None:
    """`host` is the server's URL. A key file that was named must be there."""
    if tracking.api_key_file is not None:
        path = Path(tracking.api_key_file).expanduser()
        try:
            key = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as err:
            raise RequestError(
                f"tracking.api_key_file={tracking.api_key_file} cannot be read on this node: {err}."
            ) from err
        if not key:
            raise RequestError(f"tracking.api_key_file={tracking.api_key_file} is empty.")
        return key
    return environ.get(KEY) or _of_netrc(host, environ)


def mode_here(mode: Mode, environ: Mapping[str, str]) -> Mode:
    """`auto` leaves it to the driver's node, which may say so with W&B's own variable."""
    return _MODES.get(environ.get(_MODE, ""), mode) if mode is Mode.AUTO else mode


def choose(mode: Mode, key: str | None) -> Mode:
    """ONLINE, OFFLINE or OFF."""
    if mode is Mode.AUTO:
        return Mode.ONLINE if key else Mode.OFFLINE
    if mode is Mode.ONLINE and not key:
        raise RequestError(
            "tracking.mode=online, and there is no key of W&B on this node.",
            hint="Set WANDB_API_KEY on the driver's node, run `wandb login` there, or name "
            "tracking.api_key_file.",
        )
    return mode


def _of_netrc(host: str, environ: Mapping[str, str]) -> str | None:
    named = environ.get("NETRC")
    places = [Path(named)] if named else [Path("~/.netrc"), Path("~/_netrc")]
    for path in places:
        try:
            found = netrc.netrc(os.fspath(path.expanduser())).authenticators(urlsplit(host).netloc)
        except (OSError, netrc.NetrcParseError, RuntimeError):
            continue
        if found and found[2]:
            return found[2]
    return None
