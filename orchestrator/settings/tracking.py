"""Whether a run is shown in W&B, and where. The key is no setting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from orchestrator.settings.field import Bounds, setting

_WORD = Bounds(
    pattern=r"[A-Za-z0-9][\w.-]{0,127}",
    pattern_said="letters, digits and . _ -, at most 128, starting with a letter or digit",
)


class Mode(Enum):
    AUTO = "auto"
    ONLINE = "online"
    OFFLINE = "offline"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Tracking:
    mode: Mode = setting(
        "W&B online, offline (in the run's folder) or off; auto: as WANDB_MODE on the driver's "
        "node says, else online where there is a key, else offline",
        default=Mode.AUTO,
    )
    project: str = setting("Project in W&B", default="orchestrator", bounds=_WORD)
    entity: str | None = setting(
        "Team or user in W&B; null: the key's own", default=None, bounds=_WORD
    )
    group: str | None = setting(
        "Group in W&B; null: the sweep or pipeline that the run belongs to, if any",
        default=None,
        bounds=_WORD,
    )
    api_key_file: str | None = setting(
        "File on the driver's node that holds the key; null: WANDB_API_KEY there, else ~/.netrc",
        default=None,
        bounds=Bounds(pattern=r"/.+|~/.+", pattern_said="an absolute path"),
    )
