"""How numbers, lists and texts from elsewhere are written, everywhere: in sentences, tables and figures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that do something instead of being seen: controls, then marks that end a line or turn the
direction of writing, then halves of characters (as a name has whose bytes are no UTF-8)."""


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


def one_line(text: str, most_letters: int = 300) -> str:
    """Text in one line, and cut if it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= most_letters else f"{line[:most_letters]} …"


def printable(text: str) -> str:
    """Text from elsewhere that a terminal, a page and a figure can show: control characters, bytes that were
    no Unicode, and marks that turn the direction of writing, each as its escape. Line ends and tabs stay."""
    return _ACTING.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    """As Python writes it: \\x1b, \\u202e; a byte of a name that was no UTF-8 as the byte."""
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
