"""One trial as gates, metrics and the analysis see it, whether it has just ended or was read from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from bench.scenario.links import Link

Columns = dict[str, npt.NDArray[Any]]


@dataclass
class Trial:
    """All that one trial left behind: its record of run.json, columns as arrays, samples and errors."""

    record: dict[str, Any]
    deliveries: Columns
    requests: Columns
    published: Columns
    subscribers: Columns
    resources: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    pinning: dict[str, list[int]] | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    """Which clocks and counters the run's machine has, as in run.json."""
    link_check: dict[str, Any] | None = None
    """What the check of its link measured before the first trial; None on loopback."""

    @property
    def id(self) -> str:
        """The trial's name, as in run.json and in every file's column `trial`."""
        return str(self.record["id"])

    @property
    def unreported(self) -> frozenset[str]:
        """The columns that the system under test never reports ("accepted_us", "missed"), as the record names
        them: they are empty, and that is no fault."""
        return frozenset(self.record["unreported"])

    @property
    def window_us(self) -> tuple[int, int] | None:
        """Start and end of the measured window in Unix microseconds; None if the trial never reached it, or
        if the end does not come after the start."""
        start, end = self.record.get("window_start_us"), self.record.get("window_end_us")
        return None if start is None or end is None or end <= start else (int(start), int(end))


def check_of(record: dict[str, Any], checks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The check of the link that a trial ran across; None on loopback."""
    link = {name: record[name] for name in Link._fields}
    return next((check for check in checks if link.items() <= check.items()), None)
