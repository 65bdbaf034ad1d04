"""How late: from when a notification was due until it arrived."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Floats, Window


def _ms(window: Window) -> Floats | None:
    return None if window.latencies is None else window.latencies.ms


def _naive_ms(window: Window) -> Floats | None:
    return window.naive_latencies_ms


def _mean(of: Callable[[Window], Floats | None]) -> Callable[[Window], float | None]:
    def figure(window: Window) -> float | None:
        ms = of(window)
        return None if ms is None else float(ms.mean())

    return figure


def _percentile(of: Callable[[Window], Floats | None], percent: int) -> Callable[[Window], float | None]:
    def figure(window: Window) -> float | None:
        ms = of(window)
        return None if ms is None else float(np.percentile(ms, percent))

    return figure


def _fanout_spread_ms(window: Window) -> float | None:
    if window.latencies is None or window.subscribers < 2:
        return None
    return float(np.median(window.latencies.spreads_ms()))


def _accept_delay_ms(window: Window) -> float | None:
    """None also if the server does not tell when it accepted every one of them."""
    deliveries = window.trial.deliveries
    accepted_us = deliveries["accepted_us"][window.due].astype(float) - deliveries["due_us"][window.due]
    if not len(accepted_us) or np.isnan(accepted_us).any():
        return None
    return float(np.median(accepted_us)) / 1000.0


METRICS = (
    Metric("latency_ms_mean", "latency, mean", "ms", "latency", _mean(_ms)),
    Metric("latency_ms_p50", "latency, p50", "ms", "latency", _percentile(_ms, 50)),
    Metric("latency_ms_p90", "latency, p90", "ms", "latency", _percentile(_ms, 90)),
    Metric("latency_ms_p99", "latency, p99", "ms", "latency", _percentile(_ms, 99)),
    Metric("naive_latency_ms_mean", "naive latency, mean", "ms", "latency", _mean(_naive_ms)),
    Metric("naive_latency_ms_p50", "naive latency, p50", "ms", "latency", _percentile(_naive_ms, 50)),
    Metric("naive_latency_ms_p99", "naive latency, p99", "ms", "latency", _percentile(_naive_ms, 99)),
    Metric("fanout_spread_ms_p50", "fan-out spread, p50", "ms", "latency", _fanout_spread_ms),
    Metric("accept_delay_ms_p50", "due to accepted, p50", "ms", "time", _accept_delay_ms),
)
