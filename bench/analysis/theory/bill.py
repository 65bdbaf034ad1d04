"""The words of a transport's bill: its operations, the metrics that measure them, and how often they are
done.

An *operation* is what the server does over and over for a subscriber:

    request      an answered poll, with news or without: the work is the same
    delivery     a notification written to a WebSocket or an event stream
    renewal      a WebSocket's ping and its pong, an event stream's comment
    subscriber   memory, not CPU: one more subscriber that waits (by short poll: that asks)

Waiting itself costs the server nothing (rule 6 of `servers/stream.py`; one thread pings everybody). So an
idle subscriber costs no more than its upkeep: the requests, or the ping, due every `wait_s` or every T.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from bench.analysis.cells import Cell

CPU_PER_REQUEST = "server_cpu_us_per_request"
CPU_PER_DELIVERY = "server_cpu_us_per_delivery"
CPU_IDLE = "server_cpu_us_per_idle_subscriber_second"
MEMORY = "server_memory_kb_per_subscriber"
REQUESTS = "requests_per_subscriber_second"


class Work(NamedTuple):
    """What a cell did: its operation, how many a second (or how many subscribers), and the metric that
    measures the cost of one, which is to be multiplied by `factor`."""

    operation: str
    load: float
    metric: str
    factor: float = 1.0


class Upkeep(NamedTuple):
    """What an idle subscriber makes the server do, the setting that is its period (s), that in words, and how
    often it does so in a period."""

    operation: Literal["request", "renewal"]
    every: Literal["wait_s", "poll_interval_s"]
    says: str
    times: int = 1


def is_idle(cell: Cell) -> bool:
    """Is nothing published?"""
    return bool(cell.settings["publish_rate"] == 0)


def requests_per_second(cell: Cell) -> float:
    """Requests that the server answered, from all subscribers."""
    return (value(cell, REQUESTS) or 0.0) * int(cell.settings["subscribers"])


def deliveries_per_second(cell: Cell) -> float:
    """Notifications that reached a subscriber."""
    return (value(cell, "deliveries") or 0.0) / float(cell.settings["window_s"])


def value(cell: Cell, metric: str) -> float | None:
    """The metric's median, None if it was not measured."""
    figure = cell.metrics.get(metric)
    return None if figure is None else figure.value
