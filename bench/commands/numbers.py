"""Numbers of options: what is none, or too large, is refused in a sentence that says what is allowed."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


def between(low: float, high: float, kind: type = float) -> Callable[[str], Any]:
    """A converter for argparse that refuses what is no number from low to high."""
    what = "a whole number" if kind is int else "a number"

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {what} from {low:,.12g} to {high:,.12g}, not {text}")
        return value

    return convert
