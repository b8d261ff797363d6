"""Numbers as people type them: 512k, 1_000_000, 30m, 2h, 4GiB. Parsing, and writing them back."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal
from enum import Enum
from typing import Annotated

_NUMBER = re.compile(
    r"\s*([+-]?(?:\d[\d_]*(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*", re.ASCII
)
_EXACT = Context(prec=400)  # more digits than the largest float has

_SCALES: dict[str, dict[str, float]] = {
    "count": {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12},
    "seconds": {"": 1, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400},
    "bytes": {
        **{"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
        **{"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40},
    },
}


class Unit(Enum):
    COUNT = "count"
    SECONDS = "seconds"
    BYTES = "bytes"


# The types that settings are declared with; the loader reads the Unit from the annotation.
Count = Annotated[int, Unit.COUNT]
Bytes = Annotated[int, Unit.BYTES]
Seconds = Annotated[float, Unit.SECONDS]

EXAMPLES = {
    Unit.COUNT: "1000, 1_000, 512k or 1.5M",
    Unit.SECONDS: "90, 90s, 30m, 2h or 1d",
    Unit.BYTES: "1048576, 512MiB, 4GiB or 4GB",
}


def parse(text: object, unit: Unit) -> float:
    """The number in the unit's base (ones, seconds, bytes). ValueError names what may follow it."""
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(f"is not a number such as {EXAMPLES[unit]}")
    if isinstance(text, int | float):
        value = float(text) if isinstance(text, float) else text
    else:
        match = _NUMBER.fullmatch(text)
        scale = _SCALES[unit.value].get(match[2]) if match else None
        if match is None or scale is None:
            raise ValueError(f"is not a number such as {EXAMPLES[unit]}")
        value = _times(match[1].replace("_", ""), scale)
    if not _is_finite(value):
        raise ValueError("is not a finite number")
    return value


def _times(digits: str, scale: float) -> float:
    """Whole where it is whole: binary floats would make 1000.9999999999999 of 1.001k."""
    if not math.isfinite(float(digits)):
        return math.inf
    product = _EXACT.multiply(Decimal(digits), Decimal(str(scale)))
    return int(product) if product == product.to_integral_value(context=_EXACT) else float(product)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def format_bytes(count: float) -> str:
    for suffix in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {suffix}" if suffix == "B" else f"{count:.1f} {suffix}"
        count /= 1024
    return f"{count:.1f} TiB"


def format_duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} m"
    return f"{hours // 24} d {hours % 24:02d} h"


def format_count(number: float) -> str:
    for scale, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * scale:  # what three digits round up to the next suffix
            return f"{number / scale:.3g}{suffix}"
    return f"{number:g}"
