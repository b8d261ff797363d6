"""Where text comes from while it is read, for what readers need to know and errors need to say."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from orchestrator.settings.corpus import Source, Undecodable


@dataclass(frozen=True, kw_only=True)
class Origin:
    name: str  # of the source
    source: Source
    uri: str  # of the file or data set

    @property
    def key(self) -> str:
        """Of the source's settings, as typed on the command line."""
        return f"corpus.sources.{self.name}"

    @property
    def encoding(self) -> str:
        """A mark at the beginning of a file is passed over in every encoding: no need of -sig."""
        return codecs.lookup(self.source.encoding).name.removesuffix("-sig")

    @property
    def replaces(self) -> bool:
        return self.source.undecodable is Undecodable.REPLACE
