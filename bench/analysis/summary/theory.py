"""What theory says, in a summary: predictions, residuals, curves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from bench.analysis.summary.base import Form


class Prediction(Form, frozen=True):
    """Theory for a cell, each metric under its own name and in its own unit; `service_us` is what theory took
    for the server's work on one delivery."""

    latency_ms_mean: float | None
    latency_ms_p50: float | None
    latency_ms_p90: float | None
    latency_ms_p99: float | None
    latency_quantiles_ms: list[float] | None
    requests_per_delivery: float | None
    empty_response_share: float | None
    service_us: float

    def of(self, metric: str) -> float | None:
        """What theory says of a metric; None for one that it knows nothing of."""
        value: float | None = getattr(self, metric, None)
        return value


class Residual(Form, frozen=True):
    """How far a metric lies from its prediction. `residual_share` is measured/predicted − 1, with its
    interval; `band_share` is half the band's width as such a share."""

    predicted: float
    measured: float
    low: float | None
    high: float | None
    residual_share: float
    low_share: float | None
    high_share: float | None
    band_share: float
    outcome: Literal["within", "unclear", "outside"]


class Outcomes(Form, frozen=True):
    """How many residuals lie within their band, across its edge (or have no interval), and outside."""

    within: int
    unclear: int
    outside: int
    together: int


def outcomes_of(found: Iterable[str]) -> Outcomes:
    """Count the outcomes of residuals."""
    known = list(found)
    within, unclear, outside = (known.count(name) for name in ("within", "unclear", "outside"))
    return Outcomes(within=within, unclear=unclear, outside=outside, together=len(known))


class Edges(Form, frozen=True):
    """A band around a predicted curve, from point to point."""

    low: list[float | None]
    high: list[float | None]


class Curve(Form, frozen=True, omit_defaults=True):
    """What is predicted along one factor, through the cells that differ in it alone; each cell's place is at
    the same index in `at`. It has the metrics of its factor."""

    factor: str
    transport: str
    cells: list[str]
    at: list[float]
    x: list[float]
    bands: dict[str, Edges]
    latency_ms_mean: list[float | None] | None = None
    latency_ms_p50: list[float | None] | None = None
    latency_ms_p99: list[float | None] | None = None
    requests_per_delivery: list[float | None] | None = None
    empty_response_share: list[float | None] | None = None

    def whole(self, metric: str) -> list[float] | None:
        """The curve of a metric, where theory knows it at every point."""
        values: list[float | None] = getattr(self, metric, None) or [None]
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None
