"""How many deliveries there were, and what went wrong with them."""

from __future__ import annotations

from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Window


def _deliveries(window: Window) -> float | None:
    return window.deliveries if window.has_subscribers else None


def _duplicates(window: Window) -> float | None:
    return window.total("duplicates") if window.has_subscribers else None


def _missed(window: Window) -> float | None:
    return window.total("missed") if window.has_subscribers else None


METRICS = (
    Metric("deliveries", "deliveries in the window", "", "count", _deliveries),
    Metric("duplicates", "duplicates", "", "count", _duplicates),
    Metric("missed", "told as missed", "", "count", _missed),
)
