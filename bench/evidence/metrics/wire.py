"""What passed the wire: bytes are payload, without TCP and IP headers; packets are all, bare acknowledgements
too. Up is what a subscriber sends, down what it gets."""

from __future__ import annotations

from collections.abc import Callable

from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Window


def _per_delivery(unit: str) -> Callable[[Window], float | None]:
    """Both ways together."""

    def figure(window: Window) -> float | None:
        up, down = window.total(f"window_{unit}_sent"), window.total(f"window_{unit}_received")
        return (
            None if up is None or down is None or not window.deliveries else (up + down) / window.deliveries
        )

    return figure


def _per_subscriber_second(column: str) -> Callable[[Window], float | None]:
    def figure(window: Window) -> float | None:
        counted = window.total(column) if window.has_subscribers else None
        return None if counted is None else counted / window.subscribers / window.length_s

    return figure


METRICS = (
    Metric("wire_bytes_per_delivery", "wire bytes / delivery", "B", "cost", _per_delivery("bytes")),
    Metric("wire_packets_per_delivery", "packets / delivery", "", "cost", _per_delivery("segments")),
    Metric(
        "bytes_up_per_subscriber_second",
        "bytes up / subscriber·s",
        "B",
        "cost",
        _per_subscriber_second("window_bytes_sent"),
    ),
    Metric(
        "bytes_down_per_subscriber_second",
        "bytes down / subscriber·s",
        "B",
        "cost",
        _per_subscriber_second("window_bytes_received"),
    ),
    Metric(
        "packets_up_per_subscriber_second",
        "packets up / subscriber·s",
        "",
        "cost",
        _per_subscriber_second("window_segments_sent"),
    ),
    Metric(
        "packets_down_per_subscriber_second",
        "packets down / subscriber·s",
        "",
        "cost",
        _per_subscriber_second("window_segments_received"),
    ),
)
