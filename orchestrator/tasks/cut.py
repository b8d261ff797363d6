"""What is cut off the training examples where a split is missing: whole groups, or equal texts
together, in the order of a hash and never at random. `read` calls this, and `findings`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from orchestrator.tasks.example import Example
from orchestrator.tasks.kinds.kind import Kind, names_of

Groups = dict[str, list[Example]]


def cut_off(
    examples: Sequence[Example], share: float, *, salt: str, kind: Kind
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """What is left and what was cut off. A group that is far too large is passed over, and one
    that has the last examples of a label. Where all are too large it is the smallest of them,
    unless it is more than half.
    """
    groups = groups_of(examples)
    wanted = wanted_of(len(examples), share)
    most = min(2 * wanted, (wanted + len(examples)) // 2)
    left = _labels(kind, examples)
    order = sorted(groups, key=lambda key: _hash(salt, key)) if len(groups) > 1 else []
    cut: set[str] = set()
    count = 0
    for key in order:
        if count >= wanted:
            break
        if count + len(groups[key]) <= most and _can_go(groups[key], left, kind):
            cut.add(key)
            count += len(groups[key])
            left.subtract(_labels(kind, groups[key]))
    if not cut:
        by_size = sorted(order, key=lambda key: len(groups[key]))
        small = (key for key in by_size if 2 * len(groups[key]) <= len(examples))
        cut.update([key for key in small if _can_go(groups[key], left, kind)][:1])
    keys = [(_key(example) in cut, example) for example in examples]
    kept = tuple(example for is_cut, example in keys if not is_cut)
    return kept, tuple(example for is_cut, example in keys if is_cut)


def groups_of(examples: Iterable[Example]) -> Groups:
    """What is never divided."""
    groups: Groups = {}
    for example in examples:
        groups.setdefault(_key(example), []).append(example)
    return groups


def wanted_of(num_examples: int, share: float) -> int:
    return max(round(share * num_examples), 1)


def _can_go(group: Sequence[Example], left: Counter[str], kind: Kind) -> bool:
    """Training keeps an example of each label that it has."""
    return all(left[name] > count for name, count in _labels(kind, group).items())


def _labels(kind: Kind, examples: Iterable[Example]) -> Counter[str]:
    return Counter(name for example in examples for name in names_of(kind, example.target))


def _key(example: Example) -> str:
    return example.group if example.group is not None else "\x1f".join(example.texts)


def _hash(salt: str, key: str) -> str:
    return hashlib.sha256(f"{salt}\x1f{key}".encode("utf-8", "surrogatepass")).hexdigest()
