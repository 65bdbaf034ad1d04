"""Theory between the cells: what a transport would do while one factor grows and all others stay.

Rules:
- A curve belongs to cells that differ in one factor alone; it is drawn through all their values, from the
  least to the greatest, at evenly spaced points (on a logarithmic scale where the factor is read on one).
- What theory cannot know (`load.py`: s, a, g and the rate as it came out) was measured in those cells, and is
  interpolated between them. So at a cell's own place the curve is the cell's own prediction.
- Where the factor is the rate, a cell's place is the rate that came out: a few Poisson arrivals are seldom
  what was asked for.
- Only cells that have a prediction take part: a saturated one says nothing of its neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.analysis import theory
from bench.analysis.cells import Cell
from bench.analysis.theory import residuals
from bench.analysis.theory.base import Theory
from bench.analysis.theory.load import Load, load_of
from bench.scenario.labels import series_key
from clients import TRANSPORTS

LATENCIES = ("latency_ms_mean", "latency_ms_p50", "latency_ms_p99")
CALLS = ("requests_per_delivery", "empty_response_share")
POINTS = 41
"""Points of a curve: it looks smooth, and can be read as numbers too."""
INTERPOLATED = ("service_s", "turnaround_s", "accept_s", "rate_share")


class Factor(NamedTuple):
    """What a curve runs over: its value at a load, that load with another value, the settings in which its
    cells may differ, whether it is read on a logarithmic scale, what is predicted along it, and the setting
    that a transport must have (None: all transports)."""

    of: Callable[[Load], float]
    at: Callable[[Load, float], Load]
    settings: tuple[str, ...]
    logarithmic: bool = True
    metrics: tuple[str, ...] = (*LATENCIES, *CALLS)
    needs: str | None = None


FACTORS = {
    "one_way_ms": Factor(
        lambda load: load.one_way_s * 1e3,
        lambda load, value: dataclasses.replace(load, one_way_s=value / 1e3),
        ("one_way_ms", "link"),
        logarithmic=False,
    ),
    "publish_rate": Factor(
        lambda load: load.rate,
        lambda load, value: dataclasses.replace(load, publish_rate=value, rate_share=1.0),
        ("publish_rate",),
    ),
    "subscribers": Factor(
        lambda load: load.subscribers,
        lambda load, value: dataclasses.replace(load, subscribers=round(value)),
        ("subscribers",),
    ),
    "notifications_per_interval": Factor(
        lambda load: load.rate * load.poll_interval_s,
        lambda load, value: dataclasses.replace(
            load, publish_rate=value / load.poll_interval_s, rate_share=1.0
        ),
        ("publish_rate", "poll_interval_s"),
        metrics=CALLS,
        needs="poll_interval_s",
    ),
}


def summarise(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Every curve through the given cells, which must be such as have a prediction.

    Each is `{"factor", "transport", "cells": [id, …], "at": [each cell's place, …], "x": [value of the
    factor, …], METRIC: [value or null, …], "bands": {METRIC: {"low": [edge or null, …], "high": [edge or
    null, …]}}}`. The factors are those of FACTORS; the metrics LATENCIES and CALLS, in the units of the
    cells. No edge lies below 0.
    """
    found = []
    for name, factor in FACTORS.items():
        series: dict[str, list[Cell]] = {}
        for cell in cells:
            if theory.mean_latency_s(load_of(cell)) is None:
                continue
            if factor.needs is None or factor.needs in TRANSPORTS[str(cell.transport)].factors:
                series.setdefault(series_key(cell.settings, *factor.settings), []).append(cell)
        for kin in series.values():
            if len({factor.of(load_of(cell)) for cell in kin}) > 1:
                found.append({"factor": name, **_curve(factor, kin)})  # noqa: PERF401
    return found


def _curve(factor: Factor, cells: Sequence[Cell]) -> dict[str, Any]:
    kin = sorted(cells, key=lambda cell: factor.of(load_of(cell)))
    loads = [load_of(cell) for cell in kin]
    at = np.array([factor.of(load) for load in loads])
    x = np.union1d((np.geomspace if factor.logarithmic else np.linspace)(at[0], at[-1], POINTS), at)
    place = np.log if factor.logarithmic else np.asarray
    times = {
        field: np.interp(place(x), place(at), [getattr(load, field) for load in loads])
        for field in INTERPOLATED
    }
    known = theory.of(kin[0].transport)
    points, bands = [], []
    for number, value in enumerate(x):
        measured: dict[str, Any] = {field: float(values[number]) for field, values in times.items()}
        load = factor.at(dataclasses.replace(loads[0], **measured), float(value))
        point = residuals.of_load(load)
        points.append(point)
        bands.append({metric: _edges(known, load, metric, point[metric]) for metric in factor.metrics})
    return {
        "cells": [cell.id for cell in kin],
        "at": at.tolist(),
        "transport": kin[0].transport,
        "x": x.tolist(),
        **{metric: [point[metric] for point in points] for metric in factor.metrics},
        "bands": {
            metric: {side: [edges[metric][side] for edges in bands] for side in ("low", "high")}
            for metric in factor.metrics
        },
    }


def _edges(known: Theory, load: Load, metric: str, predicted: float | None) -> dict[str, float | None]:
    """The edges of the band around a prediction."""
    if predicted is None:
        return {"low": None, "high": None}
    half = known.band(load, metric, predicted)
    return {"low": max(predicted - half, 0.0), "high": predicted + half}
