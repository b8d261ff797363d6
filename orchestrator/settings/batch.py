"""How many tokens a step takes, in packs of which length, and how both grow during a run.

The order of packs and the step that each belongs to follow from this alone, never from how many
workers there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.settings.field import Bounds, setting
from orchestrator.settings.finding import Finding
from orchestrator.settings.units import Count


@dataclass(frozen=True, kw_only=True)
class Batch:
    global_tokens: Count = setting(
        "Nominal tokens of a step, all workers together: packs times pack_tokens",
        default=131_072,
        bounds=Bounds(at_least=1),
    )
    pack_tokens: Count = setting(
        "Room of a pack, into which whole samples are laid end to end",
        default=8192,
        bounds=Bounds(at_least=16, at_most=2**24),
    )
    micro_packs: int = setting(
        "Packs that a worker computes at once", default=1, bounds=Bounds(at_least=1)
    )
    seq_len: Count = setting(
        "The most tokens of a sample", default=512, bounds=Bounds(at_least=8, at_most=2**20)
    )
    shorter_first: dict[str, float] = setting(
        "Shares of the run that train on shorter samples first: {128: 0.9} is 90 % of it at 128, "
        "and the rest at seq_len",
        factory=dict,
        bounds=Bounds(above=0),
    )
    start_tokens: Count | None = setting(
        "Nominal tokens of the first step, from which the batch grows to global_tokens in steps "
        "as large; null: it does not grow",
        default=None,
        bounds=Bounds(at_least=1),
    )
    ramp_tokens: Count = setting(
        "Nominal tokens of the run over which the batch grows",
        default=0,
        bounds=Bounds(at_least=0),
    )

    @property
    def packs(self) -> int:
        """Of a step, when the batch has grown."""
        return self.global_tokens // self.pack_tokens

    @property
    def start_packs(self) -> int:
        return (self.start_tokens or self.global_tokens) // self.pack_tokens

    @property
    def ramp_packs(self) -> int:
        return self.ramp_tokens // self.pack_tokens if self.start_tokens else 0

    def findings(self) -> Iterator[Finding]:
        if self.pack_tokens < self.seq_len:
            yield Finding(
                key="pack_tokens",
                found=f"={self.pack_tokens}",
                rule=f"is less than batch.seq_len={self.seq_len}: a pack holds whole samples.",
                try_=f"{16 * self.seq_len}.",
            )
        yield from self._multiple("global_tokens", self.global_tokens)
        if 0 < self.packs < self.micro_packs:
            yield Finding(
                key="micro_packs",
                found=f"={self.micro_packs}",
                rule=f"is more than the {self.packs} packs of a step.",
                try_=f"{self.packs}, or a larger batch.global_tokens.",
            )
        yield from self._ramp_findings()
        yield from self._length_findings()

    def _multiple(self, key: str, tokens: int) -> Iterator[Finding]:
        if tokens % self.pack_tokens == 0:
            return
        pack, below = self.pack_tokens, tokens // self.pack_tokens
        above = f"{(below + 1) * pack} ({below + 1})"
        fits = f"{below * pack} ({below} packs) or {above}" if below else f"{pack} (1 pack)"
        yield Finding(
            key=key,
            found=f"={tokens}",
            rule=f"is not a multiple of batch.pack_tokens={self.pack_tokens}.",
            try_=f"{fits}.",
        )

    def _ramp_findings(self) -> Iterator[Finding]:
        if self.start_tokens is None:
            if self.ramp_tokens:
                yield Finding(
                    key="ramp_tokens",
                    found=f"={self.ramp_tokens}",
                    rule="has no meaning without batch.start_tokens, from which the batch grows.",
                    try_=f"batch.start_tokens={max(1, self.packs // 8) * self.pack_tokens}.",
                )
            return
        yield from self._multiple("start_tokens", self.start_tokens)
        if self.start_tokens >= self.global_tokens:
            yield Finding(
                key="start_tokens",
                found=f"={self.start_tokens}",
                rule=f"does not grow to batch.global_tokens={self.global_tokens}.",
                try_="null.",
            )
        if self.ramp_tokens < self.global_tokens:
            yield Finding(
                key="ramp_tokens",
                found=f"={self.ramp_tokens}",
                rule="is less than one step of batch.global_tokens="
                f"{self.global_tokens}: the batch would not grow but jump.",
                try_=f"{100 * self.global_tokens}.",
            )

    def _length_findings(self) -> Iterator[Finding]:
        lengths = list(self.shorter_first)
        wrong = [name for name in lengths if not name.isdecimal() or int(name) < 8]
        for name in wrong:
            rule = "must be named by a length of at least 8 tokens."
            yield Finding(key=f"shorter_first.{name}", found="", rule=rule, try_="{128: 0.9}.")
        if wrong:
            return
        for name in lengths:
            if int(name) >= self.seq_len:
                yield Finding(
                    key=f"shorter_first.{name}",
                    found="",
                    rule=f"is not shorter than batch.seq_len={self.seq_len}.",
                    try_=f"batch.seq_len={2 * int(name)}.",
                )
        share = sum(self.shorter_first.values())
        if share >= 1:
            yield Finding(
                key="shorter_first",
                found=f"={{{', '.join(f'{n}: {s:g}' for n, s in self.shorter_first.items())}}}",
                rule=f"has shares of {share:g} together; below 1 leaves some of the run to "
                f"batch.seq_len={self.seq_len}.",
            )
