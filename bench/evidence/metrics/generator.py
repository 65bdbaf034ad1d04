"""What the load generator did: it is a part of the measurement."""

from __future__ import annotations

import numpy as np

from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Window


def _cpu_share(window: Window) -> float | None:
    used_us = window.used("generator", "cpu_us")
    return used_us / window.elapsed_us if used_us is not None and window.elapsed_us else None


def _delay_ms(window: Window) -> float | None:
    """Median of handled − received: of answers if the client must ask again, else of deliveries."""
    if not window.has_subscribers:
        return None
    trial = window.trial
    columns, chosen = (
        (trial.requests, window.answered) if window.asks_again else (trial.deliveries, window.received)
    )
    if not chosen.any():
        return None
    return float(np.median(columns["handled_us"][chosen] - columns["received_us"][chosen])) / 1000.0


METRICS = (
    Metric("generator_cpu_share", "generator CPU share", "", "share", _cpu_share),
    Metric("generator_delay_ms_p50", "generator delay, p50", "ms", "time", _delay_ms),
)
