"""What theory says before anything is measured: latency, requests and empty answers of each transport.

Symbols: λ publishing rate (1/s, Poisson unless said), d one-way transit (s), T poll interval (s), N
subscribers. Two times are measured in the same cell, since theory cannot know them: s, the server's CPU time
for one delivery or answer, and a, from when a notification was due until the server had accepted it. Every
latency below has a added, for it counts from when the notification was due.

Short poll. The tick that fetches a notification is uniform on [0, T] after it was due, whatever T and λ (a
  Poisson arrival, or a subscriber's uniformly drawn phase, sees a random point of the interval). The answer
  is stamped after the server's own s and the transit back: uniform on [d + s, d + s + T], mean T/2 + d + s.
  A subscriber makes 1/T requests a second, so 1/(λT) for each notification, and a share e^(−λT) finds
  nothing (no Poisson arrival in T). Polls arrive spread over T rather than together, so there is no
  fan-out: the N-th does not wait for the others.
Long poll (RFC 6202 §2.2: one to three transits). After an answer leaves, nobody waits at the server
  for w = 2d + turnaround: the answer's transit, the client's own time, the next request's transit, and the
  server's time until it waits again. Renewal argument: a cycle is w plus the time until the next
  notification if none came during w (probability e^(−λw)). It carries λw notifications that came in w, each
  late by w/2 on average, and e^(−λw) that came to a waiting server and were not late; so the mean is
  (λw²/2) / (λw + e^(−λw)), plus d. One request a cycle: 1/(λw + e^(−λw)) for each notification, so it
  batches as λ rises. Of the requests, a share e^(−λ·wait) runs into the server's own limit and is answered
  empty. Constant publishing every p = 1/λ: d while w < p, about d + w/2 beyond.
WebSocket. One transit: d. No requests after the handshake.
Fan-out. One notification wakes N waiting subscribers, and one core serves them one after the other, so the
  k-th delivery leaves k·s after the first begins: uniform on [0, N·s], mean N·s/2, for long poll and
  WebSocket alike.

A saturated cell (the server's core ≥ 95 % busy) gets no prediction: its queue has no mean.

Sources: RFC 6202 §2.2 (long polling's latency, one to three transits), RFC 6455 §1.2 (no request after the
handshake), Cox, Renewal Theory (1962) for the cycle argument; the rest is elementary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SATURATED_SHARE = 0.95
"""From this share of the server's core on, no prediction is given."""

QUANTILES: Floats = np.concatenate(
    [[0.001, 0.005], np.linspace(0.01, 0.99, 99), [0.993, 0.995, 0.997, 0.998, 0.999]]
)
"""The shares at which distributions are kept, measured and predicted."""


@dataclass(frozen=True)
class Load:
    """What a prediction is made from. Times in seconds, rates in 1/s.

    `turnaround_s` is the part of w that is no transit; only long poll needs it. `service_s` is s above, and
    `accept_s` is a.
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

    @property
    def fan_out_s(self) -> float:
        """Time to serve all subscribers one notification, N·s; 0 for short poll, whose polls come spread."""
        return 0.0 if self.transport == "short-poll" else self.subscribers * self.service_s

    @property
    def least_s(self) -> float:
        """What every delivery takes: until it was accepted, and its transit."""
        return self.accept_s + self.one_way_s

    @property
    def unattended_s(self) -> float:
        """w: how long nobody waits at the server after an answer."""
        return 2 * self.one_way_s + self.turnaround_s


def mean_latency_s(load: Load) -> float | None:
    """Mean delivery latency (s). None where nothing is published, or for a transport without a theory
    here."""
    if load.publish_rate <= 0:
        return None
    if load.transport == "short-poll":
        return load.poll_interval_s / 2 + load.least_s + load.service_s
    if load.transport == "long-poll":
        return load.least_s + _mean_unattended_wait_s(load) + load.fan_out_s / 2
    if load.transport == "websocket":
        return load.least_s + load.fan_out_s / 2
    return None


def latency_share_below(load: Load, latency_s: Floats) -> Floats | None:
    """The distribution function of delivery latency at the given latencies (s), each in 0 … 1.

    None where the mean is None, and for short poll with constant publishing: its distribution depends on
    phase.
    """
    if mean_latency_s(load) is None:
        return None
    late = np.asarray(latency_s, dtype=float) - load.least_s
    if load.transport == "short-poll":
        if load.schedule != "poisson":
            return None
        return _uniform_sum(late - load.service_s, load.poll_interval_s, 0.0)
    if load.transport == "websocket":
        return _uniform_sum(late, load.fan_out_s, 0.0)
    waited = _share_unattended(load)
    return (1 - waited) * _uniform_sum(late, load.fan_out_s, 0.0) + waited * _uniform_sum(
        late, load.fan_out_s, load.unattended_s
    )


def latency_quantiles_s(load: Load) -> Floats | None:
    """Latency (s) at each of QUANTILES, by inverting `latency_share_below`; None where that is None."""
    top = load.least_s + load.service_s + load.poll_interval_s + load.fan_out_s + load.unattended_s
    grid = np.concatenate([[0.0], np.geomspace(1e-7, max(top, 1e-6), 4000)])
    share = latency_share_below(load, grid)
    if share is None:
        return None
    position = np.searchsorted(share, QUANTILES, side="left")
    found: Floats = grid[np.minimum(position, len(grid) - 1)]
    return found


def requests_per_delivery(load: Load) -> float | None:
    """Requests that a subscriber makes for each notification; None where nothing is published."""
    if load.publish_rate <= 0:
        return None
    if load.transport == "short-poll":
        return 1 / (load.publish_rate * load.poll_interval_s)
    if load.transport == "long-poll":
        if load.schedule == "constant":
            return min(1.0, 1 / (load.publish_rate * load.unattended_s)) if load.unattended_s else 1.0
        return 1 / _notifications_per_cycle(load)
    return 0.0 if load.transport == "websocket" else None


def empty_response_share(load: Load) -> float | None:
    """Share of answers that bring nothing; None for a transport that has no answers, or constant
    publishing."""
    if load.schedule != "poisson" and load.publish_rate > 0:
        return None
    held_s = {"short-poll": load.poll_interval_s, "long-poll": load.wait_s}.get(load.transport)
    return None if held_s is None else math.exp(-load.publish_rate * held_s)


def _notifications_per_cycle(load: Load) -> float:
    expected = load.publish_rate * load.unattended_s
    return expected + math.exp(-expected)


def _share_unattended(load: Load) -> float:
    """Share of notifications that come while nobody waits at the server."""
    expected = load.publish_rate * load.unattended_s
    if load.schedule == "constant":
        return 1.0 if expected > 1 else 0.0
    return expected / _notifications_per_cycle(load)


def _mean_unattended_wait_s(load: Load) -> float:
    return _share_unattended(load) * load.unattended_s / 2


def _uniform_sum(x: Floats, first: float, second: float) -> Floats:
    """Distribution function of a sum of two independent waits, uniform on [0, first] and [0, second], at
    x."""
    wide, narrow = max(first, second), min(first, second)
    if wide <= 0:
        return (x >= 0).astype(float)
    if narrow <= wide * 1e-9:
        return np.clip(x / wide, 0.0, 1.0)

    def area(y: Floats) -> Floats:
        return np.asarray(np.maximum(y, 0.0) ** 2 / 2)

    share = (area(x) - area(x - wide) - area(x - narrow) + area(x - wide - narrow)) / (wide * narrow)
    return np.clip(share, 0.0, 1.0)
