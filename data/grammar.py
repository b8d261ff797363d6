"""Sentences of a small grammar: `(a|b) [c] <rule> {list:slot}`, drawn by keys. For intents.

A pattern is parsed once into nested tuples; a draw is a function of its seed, so the same seed
gives the same sentences everywhere.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

Node = tuple[str, Any]
Words = list[tuple[str, str | None]]  # text, slot
_TOKEN = re.compile(r"[()\[\]|]|<[^>]*>|\{[^}]*\}|[^()\[\]|<>{}]+")


def parse(pattern: str) -> Node:
    tokens = _TOKEN.findall(pattern)
    node, rest = _choices(tokens)
    if rest:
        raise ValueError(f"{pattern!r} has a bracket too many")
    return node


def _choices(tokens: list[str]) -> tuple[Node, list[str]]:
    choices: list[Node] = []
    row: list[Node] = []
    while tokens and tokens[0] not in ")]":
        token, tokens = tokens[0], tokens[1:]
        if token == "|":
            choices.append(("row", row))
            row = []
        elif token in "([":
            inner, tokens = _choices(tokens)
            tokens = tokens[1:]
            row.append(inner if token == "(" else ("maybe", inner))
        elif token[0] == "<":
            row.append(("rule", token[1:-1]))
        elif token[0] == "{":
            name, _, slot = token[1:-1].partition(":")
            row.append(("list", (name, slot or name)))
        else:
            row.append(("text", token))
    choices.append(("row", row))
    return ("any", choices), tokens


class Grammar:
    def __init__(
        self, rules: Mapping[str, str], values: Callable[[str, random.Random], str]
    ) -> None:
        self._rules = {name: parse(pattern) for name, pattern in rules.items()}
        self._values = values

    def draw(self, node: Node, chance: random.Random) -> Words:
        kind, inner = node
        if kind == "text":
            return [(inner, None)]
        if kind == "row":
            return [part for each in inner for part in self.draw(each, chance)]
        if kind == "any":
            return self.draw(chance.choice(inner), chance)
        if kind == "maybe":
            return self.draw(inner, chance) if chance.random() < 0.5 else []
        if kind == "rule":
            return self.draw(self._rules[inner], chance)
        name, slot = inner
        return [(self._values(name, chance), slot)]


def tagged(parts: Words) -> tuple[list[str], list[str]]:
    """Words and their tags, B-, I- and O; text and slots may join within a word, as in 20%."""
    text = ""
    slots: list[tuple[int, int, str]] = []
    for piece, slot in parts:
        if slot:
            slots.append((len(text), len(text) + len(piece), slot))
        text += piece
    words, tags = [], []
    before: tuple[int, int, str] | None = None
    for found in re.finditer(r"\S+", text):
        words.append(found[0])
        inside = next(
            (one for one in slots if one[0] < found.end() and one[1] > found.start()), None
        )
        tags.append("O" if inside is None else f"{'I' if inside is before else 'B'}-{inside[2]}")
        before = inside
    return words, tags
