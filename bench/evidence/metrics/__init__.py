"""The metrics: what one trial shows, from its raw columns alone.

To add a metric, add one entry to the file of its subject.

Rules:
- Latency counts the notifications that were *due* in the window [start, end), whenever they arrived; it is
  arrival (the kernel's stamp, where the system gives one) minus due time.
- Naive latency is arrival minus the time at which the publisher wrote the notification: what a load generator
  reports that lets a late publisher hide (Tene's "coordinated omission"). It is shown for comparison, as is
  how long a request took, which is not the latency of a notification at all. Neither is ever judged.
- Costs count what was received in the window: deliveries by their arrival, requests by the arrival of their
  answer.
- A percentile is over all deliveries of those notifications, linear between order statistics (numpy's
  default).
- What was not measured is None, and so is what the system under test does not report (when it accepted a
  notification, what a subscriber missed). A count of nothing is a real 0 only if it was counted: a WebSocket
  that made no request in the window has `requests_per_delivery` 0, a trial without deliveries has no latency.
- The server's metrics cover its whole process tree, between the samples at the window's edges.
"""

from __future__ import annotations

from bench.evidence.metrics import calls, counts, generator, latency, server, wire
from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Window

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *latency.METRICS,
        *calls.METRICS,
        *wire.METRICS,
        *server.METRICS,
        *generator.METRICS,
        *counts.METRICS,
    )
}
"""Every metric of a cell, in the order in which they are shown."""


def figures(window: Window | None) -> dict[str, float | None]:
    """The trial's own figure for every metric, None for those that need a second trial (`unfinished`). None
    is "not measured"; so is all of a trial without a window."""
    return {
        name: None if window is None or metric.over_empty else metric.figure(window)
        for name, metric in METRICS.items()
    }


def unfinished(window: Window | None) -> dict[str, float | None]:
    """The trial's part of each metric that needs a second trial, which `Metric.over_empty` finishes."""
    return {
        name: None if window is None else metric.figure(window)
        for name, metric in METRICS.items()
        if metric.over_empty
    }
