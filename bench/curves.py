"""Theory between the cells: what a transport would do while one factor grows and all others stay.

Rules:
- A curve belongs to cells that differ in one factor alone; it is drawn through all their values, from the
  least to the greatest, at evenly spaced points (on a logarithmic scale where the factor is read on one).
- What theory cannot know (`bench/predict.py`: the service time s, the acceptance a, the turnaround) was
  measured in those cells, and is interpolated between them. So at a cell's own value the curve is the
  cell's own prediction.
- Only cells that have a prediction take part: a saturated one says nothing of its neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench import layout, predict
from bench.compare import Cell, load_of
from bench.predict import Load

LATENCIES = ("latency_ms_mean", "latency_ms_p50", "latency_ms_p99")
CALLS = ("requests_per_delivery", "empty_response_share")
POINTS = 41
"""Points of a curve: it looks smooth, and can be read as numbers too."""
INTERPOLATED = ("service_s", "turnaround_s", "accept_s")


class Factor(NamedTuple):
    """What a curve runs over: its value at a load, that load with another value, the settings in which its
    cells may differ, whether it is read on a logarithmic scale, what is predicted along it, and for whom
    (None: for all)."""

    of: Callable[[Load], float]
    at: Callable[[Load, float], Load]
    settings: tuple[str, ...]
    logarithmic: bool = True
    metrics: tuple[str, ...] = (*LATENCIES, *CALLS)
    transports: tuple[str, ...] | None = None


FACTORS = {
    "one_way_ms": Factor(
        lambda load: load.one_way_s * 1e3,
        lambda load, value: dataclasses.replace(load, one_way_s=value / 1e3),
        ("one_way_ms", "link"),
        logarithmic=False,
    ),
    "publish_rate": Factor(
        lambda load: load.publish_rate,
        lambda load, value: dataclasses.replace(load, publish_rate=value),
        ("publish_rate",),
    ),
    "subscribers": Factor(
        lambda load: load.subscribers,
        lambda load, value: dataclasses.replace(load, subscribers=round(value)),
        ("subscribers",),
    ),
    "notifications_per_interval": Factor(
        lambda load: load.publish_rate * load.poll_interval_s,
        lambda load, value: dataclasses.replace(load, publish_rate=value / load.poll_interval_s),
        ("publish_rate", "poll_interval_s"),
        metrics=CALLS,
        transports=("short-poll",),
    ),
}


def summarise(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Every curve through the given cells, which must be such as have a prediction.

    Each is `{"factor", "cells": [id, …], "transport", "x": [value of the factor, …], METRIC: [value or null,
    …]}`. The factors are those of FACTORS; the metrics LATENCIES and CALLS, in the units of the cells.
    """
    found = []
    for name, factor in FACTORS.items():
        series: dict[str, list[Cell]] = {}
        for cell in cells:
            if factor.transports is None or cell.transport in factor.transports:
                series.setdefault(layout.series_key(cell.settings, *factor.settings), []).append(cell)
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
    points = []
    for number, value in enumerate(x):
        measured: dict[str, Any] = {field: float(values[number]) for field, values in times.items()}
        points.append(
            _point(factor.at(dataclasses.replace(loads[0], **measured), float(value)), factor.metrics)
        )
    return {
        "cells": [cell.id for cell in kin],
        "transport": kin[0].transport,
        "x": x.tolist(),
        **{metric: [point[metric] for point in points] for metric in factor.metrics},
    }


def _point(load: Load, metrics: Sequence[str]) -> dict[str, float | None]:
    """Theory at one point of a curve, under the names and in the units of the metrics."""
    found: dict[str, float | None] = {
        "requests_per_delivery": predict.requests_per_delivery(load),
        "empty_response_share": predict.empty_response_share(load),
    }
    if "latency_ms_mean" in metrics:
        mean_s, quantiles_s = predict.mean_latency_s(load), predict.latency_quantiles_s(load)
        found["latency_ms_mean"] = None if mean_s is None else mean_s * 1000.0
        for metric, share in (("latency_ms_p50", 0.5), ("latency_ms_p99", 0.99)):
            found[metric] = (
                None
                if quantiles_s is None
                else float(np.interp(share, predict.QUANTILES, quantiles_s)) * 1000.0
            )
    return found
