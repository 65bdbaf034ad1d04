"""What one metric is: its entry in the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.evidence.window import Window

Kind = Literal["latency", "time", "cost", "count", "share"]


@dataclass(frozen=True)
class Metric:
    """One metric of a trial, and of the cells that trials make up."""

    name: str
    """In summary.json, in a notebook's frames, and wherever code asks for it."""
    label: str
    """What tables and axes call it."""
    unit: str
    """Empty for counts and shares."""
    kind: Kind
    """A "latency" is judged only if the trials were steady, a "share" is shown in percent. A "time" is
    measured on the way of a notification or a request, and is not the latency of a delivery."""
    figure: Callable[[Window], float | None]
    """The trial's own figure; None if it was not measured."""
    idle: bool = False
    """Is it a metric of idle cells too? All others are shown for cells with publishing."""
    over_empty: Callable[[float, float, int], float] | None = None
    """Only for a metric that needs a second trial, the empty server as its baseline: what it makes of
    `figure` of the trial, `figure` of the baseline, and how many subscribers the trial had. The analysis,
    which has both trials, calls it."""
