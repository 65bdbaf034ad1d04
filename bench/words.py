"""How numbers and lists are written, everywhere: in sentences, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent: 0.0123, 1.23, 1,230."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def percent(share: float) -> str:
    """A share in per cent: 0.05 is 5 %."""
    return f"{number(share * 100)} %"


def spelled(count: int) -> str:
    """A small count as a word: 2 is two."""
    return ("no", "one", "two", "three", "four", "five")[count]


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
