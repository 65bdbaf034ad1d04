"""What one gate is: its entry in the registry, and what it reads in a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bench.evidence.window import Window


@dataclass(frozen=True)
class Reading:
    """What a gate reads in one trial."""

    value: float | None
    """None if the trial has nothing to measure it on."""
    says: str = ""
    """What is wrong if the trial fails: one sentence that names the value and the limit."""
    limit: float | None = None
    """Only if the limit depends on the trial."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What run.json keeps beside the value."""
    lacking: bool = False
    """Evidence that the harness always writes is missing: there is no value to keep, and the trial fails."""


NOTHING = Reading(None)


@dataclass(frozen=True)
class Gate:
    """One gate."""

    name: str
    limit: float | None
    """None if it depends on the trial; then each reading has its own."""
    read: Callable[[Window], Reading | None]
    """None if such a trial is not checked; then its record does not name the gate."""
    fails: Literal["above", "from", "below"] = "above"
    """Which values fail: those above the limit, from the limit on, or below it."""
    makes: Literal["invalid", "not steady"] = "invalid"
    """What a trial that fails is."""
    spoiled_by: Literal["server", "laboratory"] = "server"
    """The laboratory if trials fail because of the measuring tools or other work on the machine, never
    because of the server: then the trial may be replaced. The server if it may be the server's fault."""
    only_finished: bool = False
    """Are only trials checked that finished? The evidence of others is not complete."""

    def passes(self, value: float | None, limit: float) -> bool | None:
        """Whether a value passes; None if there is none."""
        if value is None:
            return None
        return {"above": value <= limit, "from": value < limit, "below": value >= limit}[self.fails]


def known_sum(counts: npt.NDArray[Any]) -> int:
    """The sum of what is known."""
    numbers = counts.astype(float)
    return int(numbers[np.isfinite(numbers)].sum())
