"""How measured figures are compared with bands: cells as the claims see them, ratios, outcomes, evidence.

Rules:
- An outcome needs a whole interval on one side of its band; a figure without an interval decides nothing.
- A figure may decide only if its cell has enough valid trials, and for latency as many steady ones.
- The interval of a ratio comes from the bootstrap replicates of both cells, resampled independently.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.analysis import intervals
from bench.analysis.theory import predict
from bench.evidence.metrics import METRICS
from bench.scenario.scenario import LOAD
from bench.words import number

Floats = npt.NDArray[np.float64]
Outcome = Literal["holds", "fails", "unclear"]


class Figure(NamedTuple):
    """A value with its interval; low and high are None with a single trial."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Cell:
    """One cell as the claims see it: settings, validity, metrics with their bootstrap replicates."""

    id: str
    settings: dict[str, Any]
    trials: int
    valid_trials: int
    steady_trials: int
    minimum_valid_trials: int
    metrics: dict[str, Figure | None]
    replicates: dict[str, Floats] = field(default_factory=dict)
    service_s: float | None = None
    finished_losses: tuple[str, ...] = ()
    """Trials that ended with the server alive, yet lost, repeated or reordered notifications."""

    @property
    def transport(self) -> str | None:
        """The cell's transport; None for a baseline without subscribers."""
        transport: str | None = self.settings["transport"]
        return transport

    @property
    def enough(self) -> bool:
        """Has it as many valid trials as the scenario asks for?"""
        return self.valid_trials >= self.minimum_valid_trials

    def figure(self, metric: str) -> Figure | None:
        """The metric if it may decide something: measured, with an interval, from enough valid trials, and
        for latency from as many steady ones."""
        steady = self.steady_trials >= self.minimum_valid_trials
        if not self.enough or (_is_latency(metric) and not steady):
            return None
        figure = self.metrics.get(metric)
        return None if figure is None or figure.low is None else figure

    def why_not(self, metric: str) -> str:
        """Why `figure` is None, in words."""
        if not self.enough:
            needed = self.minimum_valid_trials
            return f"{self.id} has {self.valid_trials} of the {needed} valid trials it needs"
        if _is_latency(metric) and self.steady_trials < self.minimum_valid_trials:
            needed = self.minimum_valid_trials
            return f"{self.id} was steady in {self.steady_trials} of the {needed} trials that latency needs"
        if self.metrics.get(metric) is not None:
            return f"{self.id} has a single valid trial, which gives no interval"
        return f"{METRICS[metric].label} was not measured in {self.id}"


@dataclass(frozen=True)
class Comparison:
    """One measured question with its outcome, the condition under which it was asked, and what it rests
    on."""

    outcome: Outcome
    says: str
    condition: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Judged:
    """What a claim's judge found: comparisons that could be made, reasons for those that could not, and
    what the hypothesis needs that this run does not have (`lacks`; then nothing is decided)."""

    comparisons: tuple[Comparison, ...] = ()
    reasons: tuple[str, ...] = ()
    lacks: str | None = None


@dataclass(frozen=True)
class Measured:
    """Everything a judge may look at."""

    cells: tuple[Cell, ...]
    probes: dict[str, Any]

    def of(self, transport: str, *, busy: bool | None = None) -> list[Cell]:
        """The cells of one transport on our own server; busy True/False asks for publishing or idle ones."""
        return [
            cell
            for cell in self.cells
            if cell.transport == transport
            and cell.settings.get("implementation", "wirelab") == "wirelab"
            and (busy is None or (cell.settings["publish_rate"] > 0) == busy)
        ]

    def partner(self, cell: Cell, transport: str) -> Cell | None:
        """The cell of another transport under the same load, across the same link, on the same server model.

        Both keep their connections or neither does; where nothing is published both are renewed or pinged as
        often, since that is all that an idle subscriber costs.
        """
        shared = (*LOAD, "connection")
        if cell.settings["publish_rate"] == 0 and "short-poll" not in (cell.transport, transport):
            shared = (*shared, "wait_s")
        for other in self.of(transport):
            same = all(other.settings.get(key) == cell.settings.get(key) for key in shared)
            if same and not other.settings.get("permessage_deflate"):
                return other
        return None


def above(figure: Figure, limit: float) -> Outcome:
    """Holds when the whole interval lies above the limit, fails when it lies below, else unclear."""
    if figure.low is None or figure.high is None:
        return "unclear"
    return "holds" if figure.low > limit else "fails" if figure.high < limit else "unclear"


def below(figure: Figure, limit: float) -> Outcome:
    """Holds when the whole interval lies below the limit, fails when it lies above, else unclear."""
    return {"holds": "fails", "fails": "holds", "unclear": "unclear"}[above(figure, limit)]  # type: ignore[return-value]


def within(figure: Figure, low: float, high: float) -> Outcome:
    """Holds when the interval lies inside the band, fails when it lies wholly outside, else unclear."""
    if figure.low is None or figure.high is None:
        return "unclear"
    if low <= figure.low and figure.high <= high:
        return "holds"
    return "fails" if figure.high < low or figure.low > high else "unclear"


def ratio(over: Cell, under: Cell, metric: str, under_metric: str | None = None) -> Figure | None:
    """The ratio of one metric (or two) in two cells, with its bootstrap interval; None where it cannot
    decide."""
    bottom_metric = under_metric or metric
    top, bottom = over.figure(metric), under.figure(bottom_metric)
    if top is None or bottom is None or bottom.value <= 0:
        return None
    tops, bottoms = over.replicates.get(metric), under.replicates.get(bottom_metric)
    if tops is None or bottoms is None or (bottoms <= 0).any():
        return Figure(top.value / bottom.value, None, None)
    value = top.value / bottom.value
    return Figure(value, *intervals.around(value, tops / bottoms))


def evidence(cell: str, metric: str, figure: Figure | None, band: str, says: str) -> dict[str, Any]:
    """One entry of a verdict's evidence."""
    value, low, high = figure if figure is not None else (None, None, None)
    return {
        "cell": cell,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "band": band,
        "says": says,
    }


def _is_latency(metric: str) -> bool:
    return metric.startswith(("latency_ms", "naive_latency_ms", "fanout_spread"))


def all_of(outcomes: Iterable[Outcome]) -> Outcome:
    """Fails if any fails, holds if all hold, else unclear."""
    found = set(outcomes)
    return "fails" if "fails" in found else "unclear" if "unclear" in found else "holds"


def text(figure: Figure, digits: int = 3) -> str:
    """A figure in words: 3 significant digits, interval where there is one."""
    value = number(figure.value, digits)
    if figure.low is None or figure.high is None:
        return value
    low, high = number(figure.low, digits), number(figure.high, digits)
    return value if low == high == value else f"{value} ({low} to {high})"


def where(cell: Cell) -> str:
    """The cell's load in words."""
    settings = cell.settings
    return f"{settings['subscribers']:,} subscribers on {settings['server_model']}"


def load_of(cell: Cell) -> predict.Load:
    """The cell as a load that theory can speak about, with what theory cannot know as the cell measured
    it."""
    settings = cell.settings
    one_way_s = settings["one_way_ms"] / 1000.0
    connection = settings.get("connection", "kept")
    gap = cell.metrics.get("next_request_gap_ms_p50")
    turnaround_s = 0.0 if gap is None else gap.value / 1000.0
    if connection == "fresh":
        # The client asks once it is connected, a round trip after it has begun to connect.
        turnaround_s = max(0.0, turnaround_s - 2 * one_way_s)
    accepted = cell.metrics.get("accept_delay_ms_p50")
    deliveries = cell.metrics.get("deliveries")
    asked = settings["publish_rate"] * settings["subscribers"] * settings["window_s"]
    return predict.Load(
        transport=str(cell.transport),
        subscribers=int(settings["subscribers"]),
        publish_rate=float(settings["publish_rate"]),
        poll_interval_s=float(settings["poll_interval_s"]),
        wait_s=float(settings["wait_s"]),
        one_way_s=one_way_s,
        service_s=cell.service_s or 0.0,
        turnaround_s=turnaround_s,
        accept_s=0.0 if accepted is None else accepted.value / 1000.0,
        schedule=str(settings["schedule"]),
        connection=connection,
        server_model=str(settings["server_model"]),
        delay_alone=not any(settings[name] for name in ("jitter_ms", "loss_percent", "bandwidth_mbit")),
        rate_share=deliveries.value / asked if deliveries is not None and asked else 1.0,
    )
