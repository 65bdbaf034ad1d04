"""An estimate (a value with its interval), and the band that it is held against.

Rules:
- An outcome needs the whole interval on one side of the band's edge; an estimate without an interval decides
  nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from bench.words import number

Outcome = Literal["holds", "fails", "unclear"]


class Estimate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value with its interval; low and high are None with a single trial."""

    value: float
    low: float | None
    high: float | None

    @property
    def sides(self) -> tuple[float, float | None, float | None]:
        """Value, low and high, for those who treat them alike."""
        return self.value, self.low, self.high

    def as_data(self) -> dict[str, float | None]:
        """As summary.json has it."""
        return {"value": self.value, "low": self.low, "high": self.high}

    @property
    def interval(self) -> tuple[float, float] | None:
        """From low to high; None if there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """What was counted, and would be counted again."""
        return cls(value, value, value)

    def times(self, factor: float) -> Estimate:
        """The estimate in another unit."""
        low, high = (None if side is None else side * factor for side in (self.low, self.high))
        return Estimate(self.value * factor, low, high)

    def text(self, digits: int = 3) -> str:
        """The estimate in words: so many significant digits, and its interval if it has one."""
        value = number(self.value, digits)
        if self.low is None or self.high is None:
            return value
        low, high = number(self.low, digits), number(self.high, digits)
        return value if low == high == value else f"{value} ({low} to {high})"


@dataclass(frozen=True)
class Band:
    """Where an estimate must lie. A side that is None is open; an edge belongs to a band with two sides, and
    not to one with an open side."""

    low: float | None = None
    high: float | None = None

    @classmethod
    def around(cls, value: float, share: float) -> Band:
        """The band of value ± this share of it."""
        return cls(value * (1 - share), value * (1 + share))

    def outcome(self, estimate: Estimate) -> Outcome:
        """Holds if the whole interval lies in the band, fails if it lies outside, else unclear."""
        if estimate.low is None or estimate.high is None:
            return "unclear"
        if self.low is not None and self.high is not None:
            inside = self.low <= estimate.low and estimate.high <= self.high
            outside = estimate.high < self.low or estimate.low > self.high
        elif self.low is not None:
            inside, outside = estimate.low > self.low, estimate.high < self.low
        else:
            assert self.high is not None
            inside, outside = estimate.high < self.high, estimate.low > self.high
        return "holds" if inside else "fails" if outside else "unclear"

    def text(self) -> str:
        """The band in words."""
        low, high = ("" if side is None else number(side) for side in (self.low, self.high))
        if not high:
            return f"above {low}"
        if not low:
            return f"below {high}"
        return low if low == high else f"{low} to {high}"
