"""A cell held against theory: what its transport's theory says of it, and how far the measurement lies off.

Rules:
- A prediction is under the name and in the unit of the metric that it predicts.
- No prediction if the server was saturated or not steady in a trial, if nothing was published, or if the
  service time was not measured; nor for the noise floor, which is there to be read against, not explained.
- A residual compares the metric's whole interval with the band around its prediction (`Theory.band`): inside
  it is `within`, beside it `outside`, across its edge `unclear`; so is a figure without an interval. Nothing
  is dropped for lying outside.
- No residual if the prediction is a count or a share below COUNT_SLACK (a part of nothing says nothing), or
  if every subscriber of the transport meets it (`Theory.met_by_all`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.analysis import theory
from bench.analysis.cells import Cell
from bench.analysis.estimate import Band, Outcome
from bench.analysis.theory.base import COUNT_SLACK, QUANTILES, SATURATED_SHARE
from bench.analysis.theory.load import Load, load_of
from bench.systems.registry import is_noise_floor

PERCENTILES = {"latency_ms_p50": 0.5, "latency_ms_p90": 0.9, "latency_ms_p99": 0.99}
HELD_AGAINST = ("latency_ms_mean", "latency_ms_p50", "requests_per_delivery", "empty_response_share")
"""The metrics that get a residual: a tail of few notifications is too seldom met to be judged."""
OUTCOMES: dict[Outcome, str] = {"holds": "within", "fails": "outside", "unclear": "unclear"}


def predicted(cell: Cell) -> dict[str, Any] | None:
    """Theory for the cell: a value or None for each metric that it may know, `latency_quantiles_ms` at
    `base.QUANTILES`, and `service_us` (s)."""
    settings = cell.settings
    if cell.transport is None or is_noise_floor(settings["system"], settings["server_model"]):
        return None
    if settings["publish_rate"] <= 0 or cell.service_s is None:
        return None
    busy = cell.metrics["server_core_busy_share"]
    saturated = busy is not None and busy.value >= SATURATED_SHARE
    if saturated or cell.steady_trials < cell.valid_trials or not cell.valid_trials:
        return None
    return of_load(load_of(cell))


def of_load(load: Load) -> dict[str, Any]:
    """Theory for a load, as `predicted` has it."""
    known = theory.of(load.transport)
    mean_s, quantiles_s = known.mean_latency_s(load), known.latency_quantiles_s(load)
    found: dict[str, Any] = {"latency_ms_mean": None if mean_s is None else mean_s * 1000.0}
    for metric, share in PERCENTILES.items():
        found[metric] = (
            None if quantiles_s is None else float(np.interp(share, QUANTILES, quantiles_s)) * 1000.0
        )
    return {
        **found,
        "latency_quantiles_ms": None if quantiles_s is None else (quantiles_s * 1000.0).tolist(),
        "requests_per_delivery": known.requests_per_delivery(load),
        "empty_response_share": known.empty_response_share(load),
        "service_us": load.service_s * 1e6,
    }


def residuals(cell: Cell, predictions: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """For each metric of HELD_AGAINST with a prediction and a measurement: both, the interval, how far off it
    and its interval are as a share of the prediction, the band's half width as such a share, and the
    outcome."""
    found: dict[str, dict[str, Any]] = {}
    known = theory.of(cell.transport)
    for metric in HELD_AGAINST:
        prediction = None if predictions is None else predictions[metric]
        figure = cell.metrics[metric]
        counts = not metric.startswith("latency")
        if prediction is None or figure is None or metric in known.met_by_all:
            continue
        if counts and prediction < COUNT_SLACK:
            continue
        band = known.band(load_of(cell), metric, prediction)
        low_share, high_share = (
            None if side is None else side / prediction - 1 for side in (figure.low, figure.high)
        )
        found[metric] = {
            "predicted": prediction,
            "measured": figure.value,
            "low": figure.low,
            "high": figure.high,
            "residual_share": figure.value / prediction - 1,
            "low_share": low_share,
            "high_share": high_share,
            "band_share": band / prediction,
            "outcome": OUTCOMES[Band(prediction - band, prediction + band).outcome(figure)],
        }
    return found
