"""What theory says before anything is measured: latency, requests and empty answers of each transport.

Symbols: λ publishing rate (1/s), d one-way transit (s), T poll interval (s), N subscribers. Four things are
measured in the same cell, since theory cannot know them: λ as it came out in the window (a few Poisson
arrivals are seldom λ × window); s, the server's CPU time for one delivery or answer; a, from when a
notification was due until the server had accepted it; g, the client's time between an answer and its next
request. Every latency below has a added, for it counts from when the notification was due.

Short poll. The request that fetches a notification reaches the server uniformly within [0, T] after it was
  accepted, whatever T, λ, schedule and d (a subscriber's phase is drawn uniformly), and its answer takes s
  and one transit: uniform on [d + s, d + s + T], mean T/2 + d + s. A subscriber makes 1/T requests a second,
  so 1/(λT) for each notification, and a share e^(−λT) finds nothing (no Poisson arrival in T). A poll takes
  2d + s; where that exceeds T, ticks pass while it is under way, and T becomes the next multiple that has
  room. Polls come spread over T rather than together, so there is no fan-out: the N-th does not wait for the
  others.
Long poll (RFC 6202 §2.2: one to three transits). After an answer leaves, nobody waits at the server for
  w = 2d + g + s + f: the answer's transit, the client's own time, the next request's transit, and the
  server's time until it waits again (f is the fan-out's, below: what else the server has to do then). Renewal
  argument: a cycle is one request. It carries λw notifications that came in w, each late by w/2 on average,
  and with probability e^(−λw)·(1 − e^(−λ·wait)) one that came to a waiting server and was not late; else it
  ends empty after `wait`. So with n = λw + e^(−λw)(1 − e^(−λ·wait)) notifications a cycle, a share
  u = λw/n comes while nobody waits, and the mean is d + u·w/2; for large `wait` that is
  d + (λw²/2)/(λw + e^(−λw)). What comes while an answer waits for its turn in the fan-out joins it, so a
  request brings n + λf notifications: it batches as λ rises. A share e^(−λ(w + wait)) of the answers is
  empty. Constant publishing every p = 1/λ: d while w < p, about d + w/2 beyond.
WebSocket. One transit: d. No requests after the handshake.
A fresh connection for each poll (`connection = "fresh"`) adds a round trip (TCP's handshake, RFC 9293 §3.5)
  before each request: long poll's w has 4d instead of 2d, and a short poll takes 4d + s. Short poll's latency
  stays: what counts is when its request reaches the server, and that is as uniform as before.
Fan-out. One notification wakes all who wait, n = N(1 − u) long polls or N WebSockets, and one core serves
  them; f is how long that keeps one of them on average. First come first served, the k-th is done after k
  times the work of one.
  - A WebSocket: uniform on [0, N·s]. A second notification meanwhile adds nothing: who has not been served
    yet gets both in one batch, the others come round again, and the mean over all stays N·s/2.
  - A long poll: s is the work of an answer and of the request that follows it, taken as half each. The
    re-requests come back r = 2d + g after each answer, while others may still wait for theirs, and compete
    with them for the core. So answers alone leave until r, one every s/2; if that is not all of them, the
    rest leave one every s, until n·s − r: the requests that follow the last answers come too late to compete.
    A gevent loop looks for requests again only after 5 ms (its switch interval, which is CPython's), so r is
    at least that.
  - Threads (`gthread`) do not come one after the other: all wake at once, and each needs several turns at the
    interpreter's lock (to wake, to look, to write), which go round. Equal jobs that share a core for a time F
    are done at F/2 on average if served in order, and at F if they take turns evenly (Kleinrock 1976, ch. 4:
    processor sharing); we take the middle, uniform on [F/2, F], and widen the band by how far off that may
    be, F/4. New requests queue behind the threads that woke: F = n·s/2 for a long poll, N·s for WebSockets.
Several at once. Only delay is in these formulas: a link that also jitters, loses packets or limits bandwidth
  gets no prediction (a lost segment costs a retransmission timeout, not a transit). A saturated cell (the
  server's core ≥ 95 % busy) has a queue without a mean, and gets none.
On-off publishing. Short poll's and WebSocket's latency depend on no schedule. Every notification falls into
  an on period, in which they come as a Poisson stream of λ over the share of time that is on: with that rate
  in place of λ long poll's latency is as above, while on periods are long against w (within the band up to
  w = 0.4 s, by simulation). Its requests, and empty answers, depend on how notifications cluster, and get no
  prediction.

The band. A prediction counts as met within BAND_SHARE of it or, where that is less, within an absolute slack:
  LATENCY_SLACK_MS for latency (what none of the above knows: the relay's lateness, which its gate lets reach
  2 ms at p99, the scheduler's, and a millisecond in which a server wakes everybody before the first answer),
  COUNT_SLACK for counts and shares. Threads' fan-out adds its F/4.

Sources: RFC 6202 §2.2 (long polling's latency, one to three transits), RFC 6455 §1.2 (no request after the
handshake), RFC 9293 §3.5 (TCP's handshake), Cox, Renewal Theory (1962) for the cycle argument, Kleinrock,
Queueing Systems II (1976) for processor sharing; the rest is elementary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clients.publisher import ON_SHARE

Floats = npt.NDArray[np.float64]

SATURATED_SHARE = 0.95
"""From this share of the server's core on, no prediction is given."""
SWITCH_INTERVAL_S = 0.005
"""After so long gevent's loop leaves its callbacks for new requests (sys.getswitchinterval's default)."""

BAND_SHARE = 0.10
LATENCY_SLACK_MS = 2.0
COUNT_SLACK = 0.05
"""The band: see above."""

QUANTILES: Floats = np.concatenate(
    [[0.001, 0.005], np.linspace(0.01, 0.99, 99), [0.993, 0.995, 0.997, 0.998, 0.999]]
)
"""The shares at which distributions are kept, measured and predicted."""


class Served(NamedTuple):
    """A share of those whom a fan-out serves, and between which times (s) after it began, evenly."""

    share: float
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Load:
    """What a prediction is made from. Times in seconds, rates in 1/s.

    `publish_rate` is what was asked for, and `rate_share` how much of that came out. `turnaround_s` is g
    above without what a fresh connection takes; only long poll needs it. `service_s` is s, and `accept_s` is
    a. `server_model` None is the bare server. `delay_alone` is False on a link that does more to packets than
    delay them.
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

    @property
    def rate(self) -> float:
        """λ: notifications a second as they came out."""
        return self.publish_rate * self.rate_share

    @property
    def rate_nearby(self) -> float:
        """λ as it is around a notification: on-off publishing packs all into the share of time that is on."""
        return self.rate / ON_SHARE if self.schedule == "on-off" else self.rate

    @property
    def round_trip_s(self) -> float:
        """What a poll spends in transit: 2d, or 4d where it makes its connection first."""
        return (4 if self.connection == "fresh" else 2) * self.one_way_s

    @property
    def away_s(self) -> float:
        """r: from an answer's leaving the server to the next request's coming back."""
        return self.round_trip_s + self.turnaround_s

    @property
    def effective_interval_s(self) -> float:
        """T, or the next multiple of it that has room for a whole poll."""
        poll_s = self.round_trip_s + self.service_s
        return self.poll_interval_s * max(1, math.ceil(poll_s / self.poll_interval_s))

    @property
    def least_s(self) -> float:
        """What every delivery takes: until it was accepted, and its transit."""
        return self.accept_s + self.one_way_s

    @property
    def fan_out(self) -> tuple[Served, ...]:
        """How those who wait are served one notification; nobody has to, where short polls come spread."""
        if self.transport == "short-poll":
            return ()
        work_s = self.subscribers * self.service_s
        if self.transport == "long-poll":
            work_s *= 1 - _share_unattended(self, self.away_s + self.service_s)
        if self.server_model == "gthread":
            last_s = work_s if self.transport == "websocket" else work_s / 2
            return (Served(1.0, last_s / 2, last_s),)
        quiet_s = max(self.away_s, SWITCH_INTERVAL_S)
        if self.transport == "websocket" or work_s <= 2 * quiet_s:
            return (Served(1.0, 0.0, work_s if self.transport == "websocket" else work_s / 2),)
        alone = 2 * quiet_s / work_s
        return Served(alone, 0.0, quiet_s), Served(1 - alone, quiet_s, work_s - quiet_s)

    @property
    def fan_out_s(self) -> float:
        """How long a fan-out takes, to the last of those who waited."""
        return max((part.to_s for part in self.fan_out), default=0.0)

    @property
    def mean_fan_out_s(self) -> float:
        """f: how long a fan-out keeps its subscribers waiting on average."""
        return sum(part.share * (part.from_s + part.to_s) / 2 for part in self.fan_out)

    @property
    def unattended_s(self) -> float:
        """w: how long nobody waits at the server after an answer."""
        return self.away_s + self.service_s + self.mean_fan_out_s

    @property
    def predictable(self) -> bool:
        """Is there a theory for its latency?"""
        known = self.transport in ("short-poll", "long-poll", "websocket")
        return known and self.rate > 0 and self.delay_alone


def mean_latency_s(load: Load) -> float | None:
    """Mean delivery latency (s); None where there is no theory for it."""
    if not load.predictable:
        return None
    if load.transport == "short-poll":
        return load.effective_interval_s / 2 + load.least_s + load.service_s
    late_s = load.least_s + load.mean_fan_out_s
    if load.transport == "long-poll":
        late_s += _share_unattended(load, load.unattended_s) * load.unattended_s / 2
    return late_s


def latency_share_below(load: Load, latency_s: Floats) -> Floats | None:
    """The distribution function of delivery latency at the given latencies (s), each in 0 … 1.

    None where the mean is None, and for short poll with constant publishing: its distribution depends on
    phase.
    """
    if not load.predictable or (load.transport == "short-poll" and load.schedule == "constant"):
        return None
    late = np.asarray(latency_s, dtype=float) - load.least_s
    if load.transport == "short-poll":
        return _uniform_sum(late - load.service_s, load.effective_interval_s, 0.0)
    away_s = load.unattended_s if load.transport == "long-poll" else 0.0
    waited = _share_unattended(load, away_s)
    found = np.zeros_like(late)
    for share, from_s, to_s in load.fan_out:
        found += share * (1 - waited) * _uniform_sum(late - from_s, to_s - from_s, 0.0)
        found += share * waited * _uniform_sum(late - from_s, to_s - from_s, away_s)
    return found


def latency_quantiles_s(load: Load) -> Floats | None:
    """Latency (s) at each of QUANTILES, by inverting `latency_share_below`; None where that is None."""
    spread_s = load.effective_interval_s + load.fan_out_s + load.unattended_s + load.service_s
    grid = load.least_s + np.concatenate([[0.0], np.geomspace(1e-7, max(spread_s, 1e-6), 4000)])
    share = latency_share_below(load, grid)
    if share is None:
        return None
    position = np.searchsorted(share, QUANTILES, side="left")
    found: Floats = grid[np.minimum(position, len(grid) - 1)]
    return found


def requests_per_delivery(load: Load) -> float | None:
    """Requests that a subscriber makes for each notification; None where there is no theory for it."""
    if not load.predictable:
        return None
    if load.transport == "short-poll":
        return 1 / (load.rate * load.effective_interval_s)
    if load.transport == "long-poll":
        if load.schedule == "constant":
            return min(1.0, 1 / (load.rate * load.unattended_s)) if load.unattended_s else 1.0
        if load.schedule == "on-off":
            return None
        joining = load.rate * load.mean_fan_out_s
        return 1 / (_notifications_per_cycle(load, load.unattended_s) + joining)
    return 0.0


def empty_response_share(load: Load) -> float | None:
    """Share of answers that bring nothing; None for a transport that has no answers, and where notifications
    do not come as a Poisson stream."""
    if load.publish_rate > 0 and (load.schedule != "poisson" or not load.predictable):
        return None
    if load.transport == "short-poll":
        return math.exp(-load.rate * load.effective_interval_s)
    if load.transport == "long-poll":
        return math.exp(-load.rate * (load.unattended_s + load.wait_s))
    return None


def band(load: Load, metric: str, predicted: float) -> float:
    """How far a measurement of `metric` may lie from its prediction, in the metric's unit."""
    share = BAND_SHARE * predicted
    if not metric.startswith("latency_ms"):
        return max(share, COUNT_SLACK)
    turns_ms = load.fan_out_s / 4 * 1000.0 if load.server_model == "gthread" else 0.0
    return max(share, LATENCY_SLACK_MS) + turns_ms


def _notifications_per_cycle(load: Load, unattended_s: float) -> float:
    expected = load.rate_nearby * unattended_s
    return expected + math.exp(-expected) * (1 - math.exp(-load.rate_nearby * load.wait_s))


def _share_unattended(load: Load, unattended_s: float) -> float:
    """u: share of notifications that come while nobody waits at the server."""
    if load.rate <= 0:
        return 0.0
    expected = load.rate_nearby * unattended_s
    if load.schedule == "constant":
        return 1.0 if expected > 1 else 0.0
    return expected / _notifications_per_cycle(load, unattended_s)


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
