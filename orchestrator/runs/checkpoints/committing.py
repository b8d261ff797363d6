"""Rank 0's part: wait until every rank's manifest is there, and write COMMIT over all of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from xxhash import xxh3_128_hexdigest

from orchestrator.errors import OrchestratorError
from orchestrator.runs import layout
from orchestrator.runs.checkpoints.commit import Commit, RankManifest, Torn
from orchestrator.runs.insist import insist
from orchestrator.runs.storage import Storage

T = TypeVar("T")
_POLL_DISK_S, _POLL_STORE_S = 0.05, 1.0


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """Of the parts that make one checkpoint."""

    run: Storage
    step: int
    world: int
    attempt: int

    def wait(self, should_give_up: Callable[[], bool]) -> None:
        missing = set(range(self.world))
        while True:
            names = {each.name for each in self._surely(lambda: self.run.list(self._folder))}
            written = [rank for rank in missing if layout.rank_manifest(rank) in names]
            missing -= {rank for rank in written if self._read(rank) is not None}
            if not missing:
                return
            if should_give_up():
                raise OrchestratorError(
                    f"The checkpoint of step {self.step} was given up: "
                    f"{_ranks(missing)} of {self.world} had not written theirs."
                )
            time.sleep(_POLL_DISK_S if self.run.is_local else _POLL_STORE_S)

    def commit(self, facts: dict[str, Any]) -> Commit:
        read = {rank: self._read(rank) for rank in range(self.world)}
        parts = [part for part in read.values() if part is not None]
        if len(parts) < self.world:
            missing = [rank for rank, part in read.items() if part is None]
            raise OrchestratorError(
                f"The checkpoint of step {self.step} cannot be committed: "
                f"{_ranks(missing)} of {self.world} have not written theirs."
            )
        self._refuse_same_names([manifest for manifest, _ in parts])
        files = [record for manifest, _ in parts for record in manifest.files.values()]
        commit = Commit(
            step=self.step,
            attempt=self.attempt,
            world=self.world,
            time=round(time.time(), 3),
            size_bytes=sum(record.size_bytes for record in files),
            ranks=tuple(checksum for _, checksum in parts),
            facts=facts,
        )
        data = commit.to_json()
        self._surely(lambda: self.run.write(f"{self._folder}/{layout.COMMIT}", data))
        return Commit.parse(data)

    @property
    def _folder(self) -> str:
        return layout.checkpoint(self.step)

    def _read(self, rank: int) -> tuple[RankManifest, str] | None:
        """With its checksum. None for one that an earlier attempt, which died, left behind."""
        path = f"{self._folder}/{layout.rank_manifest(rank)}"
        if not self._surely(lambda: self.run.exists(path)):
            return None
        data = self._surely(lambda: self.run.read(path))
        try:
            manifest = RankManifest.parse(data)
        except Torn:
            return None
        is_ours = (manifest.step, manifest.rank, manifest.attempt) == (
            self.step,
            rank,
            self.attempt,
        )
        return (manifest, xxh3_128_hexdigest(data)) if is_ours else None

    def _refuse_same_names(self, manifests: Iterable[RankManifest]) -> None:
        counts = Counter(name for manifest in manifests for name in manifest.files)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise OrchestratorError(
                f"The checkpoint of step {self.step} cannot be committed: several ranks wrote "
                f"{', '.join(sorted(twice))}, each over the other's."
            )

    def _surely(self, action: Callable[[], T]) -> T:
        """An object store may be away for a moment; a disk that refuses has its reason."""
        return action() if self.run.is_local else insist(action)


def _ranks(ranks: Iterable[int]) -> str:
    numbers = sorted(ranks)
    return f"rank{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
