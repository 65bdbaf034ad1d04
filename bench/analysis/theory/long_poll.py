"""Long poll: one to three transits late (RFC 6202 §2.2), one request a notification, or one every `wait`.

Latency. After an answer leaves, nobody waits at the server for w = 2d + g + s + f: the answer's transit, the
  client's own time, the next request's transit, and the server's time until it waits again (f is the
  fan-out's: what else the server has to do then). On a fresh connection w has 4d instead of 2d. Renewal
  argument: a cycle is one request. It carries λw notifications that came in w, each late by w/2 on average,
  and with probability e^(−λw)·(1 − e^(−λ·wait)) one that came to a waiting server and was not late; else it
  ends empty after `wait`. So with n = λw + e^(−λw)(1 − e^(−λ·wait)) notifications a cycle, a share u = λw/n
  comes while nobody waits, and the mean is d + u·w/2; for large `wait` that is d + (λw²/2)/(λw + e^(−λw)).
  Constant publishing every p = 1/λ: d while w < p, about d + w/2 beyond.
Requests. What comes while an answer waits for its turn in the fan-out joins it, so a request brings n + λf
  notifications: it batches as λ rises. A share e^(−λ(w + wait)) of the answers is empty.
On-off publishing. Inside an on period notifications come at λ over the share of time that is on: with that
  rate in place of λ the latency is as above, while on periods are long against w (within the band up to w =
  0.4 s, by simulation). Requests and empty answers depend on how notifications cluster, and get no
  prediction.
Fan-out. One notification wakes n = N(1 − u) long polls. s is the work of an answer and of the request that
  follows it, taken as half each. The next requests come back r = 2d + g after each answer, while others may
  still wait for theirs, and compete with them for the core. So answers alone leave until r, one every s/2; if
  that is not all of them, the rest leave one every s, until n·s − r: the requests that follow the last
  answers come too late to compete. A gevent loop looks for requests again only after 5 ms (its switch
  interval, which is CPython's), so r is at least that. Threads (`base.py`) take turns until F = n·s/2.

The bill. A request is measured where it brings news; one that runs out costs as much on a busy core. Polls
  that run out are not fitted themselves: evenly spaced by their joining, they come one by one, and the cost
  of each falls steeply somewhere above half a core, down to the cost of an answer with news; no load below
  foretells it. What a fan-out sets free at once is as cheap from the start. A user makes λ/(1 − e^(−λw))
  requests a second (1/w without news), w being `wait_s`: each waits anew for news, but no longer than w. So
  they are answered one by one. If notifications came faster than a client asks again, they would share
  answers and cost less.
"""

from __future__ import annotations

import math

import numpy as np

from bench.analysis.cells import Cell
from bench.analysis.theory import bill
from bench.analysis.theory.base import Floats, Served, Theory, take_turns, uniform_sum
from bench.analysis.theory.bill import Upkeep, Work
from bench.analysis.theory.load import Load

SWITCH_INTERVAL_S = 0.005
"""After so long gevent's loop leaves its callbacks for new requests (sys.getswitchinterval's default)."""


class LongPoll(Theory):
    """Ask, be held until there is news, and ask again at once."""

    most_transits = 3
    upkeep = Upkeep("request", "wait_s", "renewed every")

    def fan_out(self, load: Load) -> tuple[Served, ...]:
        """Answers alone at first, then answers among the next requests."""
        work_s = load.subscribers * load.service_s
        work_s *= 1 - _share_unattended(load, load.away_s + load.service_s)
        if load.server_model == "gthread":
            return (take_turns(work_s / 2),)
        quiet_s = max(load.away_s, SWITCH_INTERVAL_S)
        if work_s <= 2 * quiet_s:
            return (Served(1.0, 0.0, work_s / 2),)
        alone = 2 * quiet_s / work_s
        return Served(alone, 0.0, quiet_s), Served(1 - alone, quiet_s, work_s - quiet_s)

    def work(self, cell: Cell) -> Work | None:
        """An answered poll that brings news."""
        if bill.is_idle(cell):
            return None
        return Work("request", bill.requests_per_second(cell), bill.CPU_PER_REQUEST)

    def tells_memory(self, cell: Cell) -> bool:
        """While it waits."""
        return bill.is_idle(cell)

    def rates(self, rate: float, poll_interval_s: float, wait_s: float) -> dict[str, float]:
        """A request for each wait: until there is news, or for `wait_s`."""
        if rate == 0:
            return {"request": 1.0 / wait_s}
        return {"request": rate / -math.expm1(-rate * wait_s)}

    def _mean_s(self, load: Load) -> float | None:
        unattended_s = self.unattended_s(load)
        late_s = load.least_s + self.mean_fan_out_s(load)
        return late_s + _share_unattended(load, unattended_s) * unattended_s / 2

    def _share_below(self, load: Load, late_s: Floats) -> Floats | None:
        unattended_s = self.unattended_s(load)
        missed = _share_unattended(load, unattended_s)
        share = np.zeros_like(late_s)
        for part in self.fan_out(load):
            late, spread_s = late_s - part.from_s, part.to_s - part.from_s
            share += part.share * (1 - missed) * uniform_sum(late, spread_s, 0.0)
            share += part.share * missed * uniform_sum(late, spread_s, unattended_s)
        return share

    def _requests(self, load: Load) -> float | None:
        unattended_s = self.unattended_s(load)
        if load.schedule == "constant":
            return min(1.0, 1 / (load.rate * unattended_s)) if unattended_s else 1.0
        if load.schedule == "on-off":
            return None
        joining = load.rate * self.mean_fan_out_s(load)
        return 1 / (_notifications_per_cycle(load, unattended_s) + joining)

    def _empty_share(self, load: Load) -> float | None:
        return math.exp(-load.rate * (self.unattended_s(load) + load.wait_s))


def _notifications_per_cycle(load: Load, unattended_s: float) -> float:
    """n, without those that join a fan-out."""
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
