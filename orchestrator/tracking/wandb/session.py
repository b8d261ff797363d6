"""One connection to W&B, from init to finish: the only module that imports wandb.

Nothing here says that a row arrived: wandb-core sends when it can, and drops what it holds when
it dies. `Session.first_row` is what W&B had when it was asked, so the next session goes on there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import wandb

from orchestrator.errors import OrchestratorError
from orchestrator.settings.tracking import Mode
from orchestrator.tracking.exhibits import Exhibit
from orchestrator.tracking.wandb.about import About
from orchestrator.tracking.wandb.part import linked
from orchestrator.tracking.wandb.projection import STEP, Row

INIT_S = 60.0


class SessionLost(OrchestratorError):
    """wandb cannot go on: no server, a key that is refused, a wandb-core that is gone."""


def server_url() -> str:
    """As wandb itself finds it: WANDB_BASE_URL, a settings file, else its own default."""
    return str(wandb.setup().settings.base_url)


class Session:
    def __init__(self, about: About, mode: Mode, folder: Path, *, finish_s: float) -> None:
        how: Literal["online", "offline"] = "online" if mode is Mode.ONLINE else "offline"
        folder.mkdir(parents=True, exist_ok=True)
        with _explained("W&B could not be reached"):
            self._run: Any = wandb.init(
                project=about.project,
                entity=about.entity,
                id=about.id,
                name=about.name,
                group=about.group,
                job_type=about.job_type,
                notes=about.notes or None,
                tags=about.tags or None,
                config=about.config,
                resume="allow" if mode is Mode.ONLINE else None,
                mode=how,
                reinit="create_new" if about.is_one_of_many else None,
                dir=str(folder),
                settings=_settings(mode, finish_s),
            )
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP)
        self.first_row: int = self._run.starting_step
        self.url: str | None = self._run.url if mode is Mode.ONLINE else None
        self.entity: str = self._run.entity or ""
        self.folder = Path(self._run.dir).parent

    def log(self, row: Row) -> None:
        with _explained("wandb-core is gone"):
            self._run.log(dict(row))

    def link(self, about: About) -> None:
        """To other runs of the same project, as addresses beside their names."""
        if self.url is None or not (about.links or about.has_parts):
            return
        links = dict(about.links)
        links |= {f"{kind}_url": self._address(run) for kind, run in about.links.items()}
        if about.has_parts:
            links["parts_url"] = f"{self.url.rpartition('/runs/')[0]}/groups/{about.id}"
        with _explained("wandb-core is gone"):
            self._run.config.update({"links": links}, allow_val_change=True)

    def _address(self, run: str) -> str:
        return f"{(self.url or '').rpartition('/')[0]}/{run}"

    def refer(self, name: str, step: int, uri: str) -> None:
        """A checkpoint, as a reference: its bytes stay where they are."""
        artifact = wandb.Artifact(name, type="checkpoint", metadata={"step": step, "uri": uri})
        with _explained(f"W&B does not take a reference to {uri}"):
            try:
                artifact.add_reference(uri, name="COMMIT", checksum=False)
            except (wandb.Error, ImportError):  # a client for s3:// or gs:// that is not installed
                artifact.add_reference(f"at:{uri}", name="COMMIT", checksum=False)
            self._run.log_artifact(artifact, aliases=["latest", f"step-{step}"])

    def show(self, name: str, exhibit: Exhibit, file: Path) -> None:
        """Always the same bytes under the same name: W&B keeps one of them, however often sent."""
        facts = {"step": exhibit.step, "name": exhibit.name}
        artifact = wandb.Artifact(name, type=exhibit.kind, metadata=facts)
        with _explained(f"W&B does not take {file.name}"):
            if exhibit.kind == "table":
                columns, rows = exhibit.table(file.read_bytes())
                if self.url is not None:
                    rows = linked(columns, rows, self._address(self._run.id))
                table = wandb.Table(columns=[*columns], data=rows, allow_mixed_types=True)
                artifact.add(table, exhibit.name)
            else:
                artifact.add_file(str(file), name=f"{exhibit.name}{file.suffix}")
            self._run.log_artifact(artifact, aliases=["latest", f"step-{exhibit.step}"])

    def conclude(self, **facts: str) -> None:
        with _explained("wandb-core is gone"):
            self._run.summary.update(facts)

    def finish(self, exit_code: int) -> None:
        with _explained("W&B did not take everything in time"):
            self._run.finish(exit_code=exit_code)


def _settings(mode: Mode, finish_s: float) -> wandb.Settings:
    """No look at this machine, its code or its git: what W&B is told comes from the run's folder.
    Online nothing is kept on disk: what does not arrive is sent again from the metrics."""
    return wandb.Settings(
        console="off",
        silent=True,
        program="orchestrator",
        disable_git=True,
        disable_code=True,
        save_code=False,
        use_dot_wandb=False,
        init_timeout=INIT_S,
        finish_timeout=max(1.0, math.floor(finish_s)),
        finish_timeout_raises=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        x_skip_transaction_log=mode is Mode.ONLINE,
        x_transaction_log_flush_interval=5.0,
        x_file_stream_transmit_interval=5.0,
        x_file_stream_retry_wait_max_seconds=20.0,
        x_graphql_retry_wait_max_seconds=20.0,
    )


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """wandb raises many kinds, its own and the operating system's."""
    try:
        yield
    except Exception as err:
        said = (str(err).strip().splitlines() or [""])[0]
        raise SessionLost(f"{what}: {type(err).__name__}: {said[:300]}") from err
