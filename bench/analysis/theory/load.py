"""A load: what a prediction is made from, and the symbols of every derivation.

Symbols: λ publishing rate (1/s), d one-way transit (s), T poll interval (s), N subscribers. Theory cannot
know four more things, which are measured in the same cell:

    λ   as it came out in the window (a few Poisson arrivals are seldom λ × window)
    s   the server's CPU time for one delivery or answer
    a   the time from when a notification was due until the server had accepted it
    g   the client's time between an answer and its next request

Rules:
- Nothing here goes by the name of a transport: what a transport makes of a load is in its theory.
- On-off publishing: every notification falls into an on period, and there they come as a Poisson stream of λ
  over the share of time that is on (`rate_nearby`).
- A fresh connection for each poll (`connection = "fresh"`) adds a round trip (TCP's handshake, RFC 9293 §3.5)
  before each request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.analysis.cells import Cell
from clients.publisher import ON_SHARE


@dataclass(frozen=True)
class Load:
    """What a prediction is made from. Times in seconds, rates in 1/s.

    `publish_rate` is what was asked for, and `rate_share` how much of that came out. `turnaround_s` is g
    above without the time that a fresh connection takes; only long poll needs it. `service_s` is s, and
    `accept_s` is a. `delay_alone` is False on a link that does more to packets than delay them. `window_s` is
    for how long it was measured.
    """

    transport: str
    subscribers: int
    publish_rate: float
    poll_interval_s: float
    wait_s: float
    one_way_s: float
    service_s: float
    turnaround_s: float = 0.0
    accept_s: float = 0.0
    schedule: str = "poisson"
    connection: str = "kept"
    server_model: str = "gevent"
    delay_alone: bool = True
    rate_share: float = 1.0
    window_s: float = math.inf

    @property
    def rate(self) -> float:
        """λ: notifications a second as they came out."""
        return self.publish_rate * self.rate_share

    @property
    def rate_nearby(self) -> float:
        """λ around a notification: on-off publishing packs all of them into the share of time that is on."""
        return self.rate / ON_SHARE if self.schedule == "on-off" else self.rate

    @property
    def round_trip_s(self) -> float:
        """A poll's time in transit: 2d, or 4d if it makes its connection first."""
        return (4 if self.connection == "fresh" else 2) * self.one_way_s

    @property
    def away_s(self) -> float:
        """r: from when an answer leaves the server until the next request comes back."""
        return self.round_trip_s + self.turnaround_s

    @property
    def effective_interval_s(self) -> float:
        """T, or the next multiple of it that has room for a whole poll."""
        poll_s = self.round_trip_s + self.service_s
        return self.poll_interval_s * max(1, math.ceil(poll_s / self.poll_interval_s))

    @property
    def least_s(self) -> float:
        """The time that every delivery takes: until the notification was accepted, and its transit."""
        return self.accept_s + self.one_way_s

    @property
    def predictable(self) -> bool:
        """Can any theory say how late its notifications are? Some have to come, on a link that only
        delays."""
        return self.rate > 0 and self.delay_alone


def load_of(cell: Cell) -> Load:
    """The cell as a load. What theory cannot know is as the cell measured it."""
    settings = cell.settings
    one_way_s = settings["one_way_ms"] / 1000.0
    connection = settings["connection"]
    gap = cell.metrics.get("next_request_gap_ms_p50")
    turnaround_s = 0.0 if gap is None else gap.value / 1000.0
    if connection == "fresh":
        # The client asks once it is connected, a round trip after it has begun to connect.
        turnaround_s = max(0.0, turnaround_s - 2 * one_way_s)
    accepted = cell.metrics.get("accept_delay_ms_p50")
    deliveries = cell.metrics.get("deliveries")
    asked = settings["publish_rate"] * settings["subscribers"] * settings["window_s"]
    return Load(
        transport=str(cell.transport),
        subscribers=int(settings["subscribers"]),
        publish_rate=float(settings["publish_rate"]),
        poll_interval_s=float(settings["poll_interval_s"]),
        wait_s=float(settings["wait_s"]),
        one_way_s=one_way_s,
        service_s=cell.service_s or 0.0,
        turnaround_s=turnaround_s,
        accept_s=0.0 if accepted is None else accepted.value / 1000.0,
        schedule=str(settings["schedule"]),
        connection=connection,
        server_model=str(settings["server_model"]),
        delay_alone=not any(settings[name] for name in ("jitter_ms", "loss_percent", "bandwidth_mbit")),
        rate_share=deliveries.value / asked if deliveries is not None and asked else 1.0,
        window_s=float(settings["window_s"]),
    )
