"""What clients ask: requests, how many came back empty, how long each was held."""

from __future__ import annotations

import numpy as np

from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Window


def _per_delivery(window: Window) -> float | None:
    return window.requests / window.deliveries if window.deliveries else None


def _per_subscriber_second(window: Window) -> float | None:
    return window.requests / window.subscribers / window.length_s if window.has_subscribers else None


def _empty_share(window: Window) -> float | None:
    if not window.asks_again or not window.requests:
        return None
    return float((window.trial.requests["notifications"][window.answered] == 0).mean())


def _per_answer(window: Window) -> float | None:
    """Of answers that brought any."""
    if not window.asks_again:
        return None
    brought = window.trial.requests["notifications"][window.answered]
    return float(brought[brought > 0].mean()) if (brought > 0).any() else None


def _held_ms(window: Window) -> float | None:
    if not window.asks_again or not window.requests:
        return None
    requests = window.trial.requests
    held_us = requests["received_us"][window.answered] - requests["sent_us"][window.answered]
    return float(held_us.mean()) / 1000.0


def _next_request_gap_ms(window: Window) -> float | None:
    """Median time from an answer's arrival to the same subscriber's next request, for answers in the
    window."""
    if not window.asks_again or not window.requests:
        return None
    requests = window.trial.requests
    order = np.lexsort((requests["sent_us"], requests["subscriber"]))
    subscriber = requests["subscriber"][order]
    sent, received, inside = (
        column[order] for column in (requests["sent_us"], requests["received_us"], window.answered)
    )
    same = subscriber[1:] == subscriber[:-1]
    gaps = (sent[1:] - received[:-1])[same & inside[:-1]]
    return float(np.median(gaps)) / 1000.0 if len(gaps) else None


METRICS = (
    Metric("requests_per_delivery", "requests / delivery", "", "cost", _per_delivery),
    Metric("requests_per_subscriber_second", "requests / subscriber·s", "", "cost", _per_subscriber_second),
    Metric("empty_response_share", "empty answers", "", "share", _empty_share),
    Metric("notifications_per_answer", "notifications / answer", "", "cost", _per_answer),
    Metric("held_ms_mean", "request to answer, mean", "ms", "time", _held_ms),
    Metric("next_request_gap_ms_p50", "answer to next request, p50", "ms", "time", _next_request_gap_ms),
)
