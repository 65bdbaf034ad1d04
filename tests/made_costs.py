"""Cells with exact costs: one series, or every series that a plan needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from made_cells import made

from bench.analysis.cells import Cell
from bench.analysis.costs.model import summarise
from bench.analysis.summary import CostModel
from bench.analysis.theory import bill

Cost = Callable[[float], float]

LOADS = (1.0, 1.15, 1.3, 2.8)
ANSWER_BYTES, NOTIFICATION_BYTES = 190.0, 170.0


def wire(polls: float, notifications: float) -> dict[str, float]:
    """What goes over the wire for each subscriber every second."""
    return {
        "bytes_up_per_subscriber_second": 110 * polls,
        "bytes_down_per_subscriber_second": ANSWER_BYTES * polls + NOTIFICATION_BYTES * notifications,
        "packets_up_per_subscriber_second": 2 * polls + notifications,
        "packets_down_per_subscriber_second": polls + notifications,
    }


def model_of(cells: list[Cell]) -> CostModel | None:
    """The cost model of these cells, as a summary has it."""
    return msgspec.convert(summarise(cells), CostModel | None)


def measured(**changed: Any) -> list[Cell]:
    """Every series that a plan needs, exact: 200 µs a request, 50 a ping, 25 a delivery, 250 a publish;
    20 kB each; threads as many as subscribers."""
    cells = []
    kept: dict[str, float] = {bill.MEMORY: 20.0}
    for place, times in enumerate(LOADS):
        subscribers = round(500 * times)
        idle = {"subscribers": subscribers, "publish_rate": 0.0, **changed}
        kept["server_threads"] = 5.0 + subscribers
        asked = {"requests_per_subscriber_second": 4.0, bill.CPU_PER_REQUEST: 150.0}
        cells.append(made("long-poll", {**kept, **asked, **wire(4.0, 0)}, wait_s=0.25, **idle))
        pinged = {bill.CPU_IDLE: 50.0 / 0.08}
        cells.append(made("websocket", {**kept, **pinged, **wire(12.5, 0)}, wait_s=0.08, **idle))
        busy = {"subscribers": 100, "publish_rate": 16.0 * times, **changed}
        answered = {"requests_per_subscriber_second": 16.0 * times, bill.CPU_PER_REQUEST: 200.0}
        told = {"deliveries": 100 * 16.0 * times * 5.0}
        cells.append(made("long-poll", {**answered, **told, **wire(16.0 * times, 16.0 * times)}, **busy))
        busy = {"subscribers": 1000, "publish_rate": 13.0 * times, **changed}
        pushed = {"deliveries": 1000 * 13.0 * times * 5.0, bill.CPU_PER_DELIVERY: 25.0}
        cells.append(made("websocket", {**pushed, **wire(0, 13.0 * times)}, **busy))
        interval_s = 0.25 / times
        polled = {"requests_per_subscriber_second": 1 / interval_s, bill.CPU_PER_REQUEST: 200.0}
        busy = {"subscribers": 400 + place, "publish_rate": 2.0, "poll_interval_s": interval_s, **changed}
        told = {"deliveries": (400 + place) * 2.0 * 5.0}
        cells.append(made("short-poll", {**kept, **polled, **told, **wire(1 / interval_s, 2.0)}, **busy))
    cells.append(made(None, {"server_cpu_us_per_publish": 250.0}, publish_rate=1000.0, subscribers=0))
    # Memory is fitted on numbers of subscribers, which differ too little above.
    for subscribers in (500, 1000, 2000):
        asked = {"requests_per_subscriber_second": 1.0, bill.CPU_PER_REQUEST: 200.0, bill.MEMORY: 20.0}
        cells.append(made("short-poll", asked, subscribers=subscribers, publish_rate=0.0, **changed))
    return cells


def deliveries(cost: Cost, rates: Sequence[float] = (11, 14, 17, 33), **changed: Any) -> list[Cell]:
    """1,000 WebSockets that are told so often: `cost(x)` µs a delivery at x deliveries a second."""
    return [
        made(
            "websocket",
            {"deliveries": 1000 * rate * 5.0, bill.CPU_PER_DELIVERY: cost(1000 * rate)},
            subscribers=1000,
            publish_rate=rate,
            **changed,
        )
        for rate in rates
    ]


def only(cells: list[Cell], operation: str, transport: str = "websocket") -> dict[str, Any]:
    """The one series of that operation."""
    model = summarise(cells)
    assert model is not None
    [found] = [
        one for one in model["series"] if (one["operation"], one["transport"]) == (operation, transport)
    ]
    return dict(found)
