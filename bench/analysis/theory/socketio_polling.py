"""Socket.IO on polling: as long polls, but only news and pings end one, and each ping takes a POST besides.

Latency. As a long poll's: one transit if a poll is held, else until the next one is. What comes meanwhile is
  in the next answer, as a log's batch is. (A pong takes a round trip more, once in `wait`: that is left out.)
Pings. The server waits `wait` (w) from a pong to the next ping, and a pong comes r after its ping (r as in
  `long_poll.py`): p = 1/(w + r) pings a second. A ping ends a poll that is held. If none is held, it joins
  the next answer, and that brings news unless nothing came all the while that nobody waited. With u, the time
  after an answer in which nobody waits, a poll is held for a share h = e^(−λu)/(λu + e^(−λu)) of the time, so
  a share q = h + (1 − h)·e^(−λu) of the pings takes an answer for itself. Constant publishing: all of them
  while a poll is held at all, else none.
Requests. A long poll's that nothing but news ends (its `wait` infinite), and p·(1 + q) a second: the polls
  that a ping alone ended, and the POSTs of the pongs.
Empty answers. Just those: E = p·(1 + q) of λR + E, if R is how many requests news takes. All subscribers join
  together, so their clocks strike together: a window has one ping of each more or less than its length says,
  which widens the band. A window shorter than w has one of each or none, and no share is predicted.

The bill. A request costs as a long poll's; an idle subscriber makes two every w, a poll and a pong. Their
  bytes are not the same: what a poll without news weighs is the mean of both.
Publishing. Who publishes by Socket.IO gets each acknowledgement as a packet in its next answer, and posts
  once more. A benchmark's subscribers publish nothing.
"""

from __future__ import annotations

import dataclasses
import math

from bench.analysis.theory.bill import Upkeep
from bench.analysis.theory.load import Load
from bench.analysis.theory.long_poll import LongPoll

REQUESTS_A_PING = 2


class SocketIoPolling(LongPoll):
    """Ask, be held, and answer pings."""

    upkeep = Upkeep("request", "wait_s", "pinged every", REQUESTS_A_PING)

    def rates(self, rate: float, poll_interval_s: float, wait_s: float) -> dict[str, float]:
        """A request for each notification, and those of the pings."""
        return {"request": rate + REQUESTS_A_PING / wait_s}

    def band(self, load: Load, metric: str, predicted: float) -> float:
        """One ping of each subscriber more or less in the window."""
        usual = super().band(load, metric, predicted)
        if metric.startswith("latency_ms"):
            return usual
        of_one_ping = self._empties_per_ping(load) / load.window_s
        per = load.rate if metric == "requests_per_delivery" else self._requests_per_second(load)
        return usual + of_one_ping / per

    def _requests(self, load: Load) -> float | None:
        of_news = self._requests_of_news(load)
        return None if of_news is None else of_news + self._empties_per_second(load) / load.rate

    def _empty_share(self, load: Load) -> float | None:
        if not load.rate:
            return 1.0
        if load.window_s < load.wait_s:
            return None
        return self._empties_per_second(load) / self._requests_per_second(load)

    def _requests_of_news(self, load: Load) -> float | None:
        """R: a notification's, if no ping came."""
        return super()._requests(dataclasses.replace(load, wait_s=math.inf))

    def _requests_per_second(self, load: Load) -> float:
        return load.rate * (self._requests_of_news(load) or 0.0) + self._empties_per_second(load)

    def _empties_per_second(self, load: Load) -> float:
        """E."""
        return self._empties_per_ping(load) / (load.wait_s + load.away_s)

    def _empties_per_ping(self, load: Load) -> float:
        """1 + q."""
        expected = load.rate_nearby * self.unattended_s(load)
        if load.schedule == "constant":
            return 2.0 if expected < 1 else 1.0
        nothing_came = math.exp(-expected)
        held = nothing_came / (expected + nothing_came)
        return 1 + held + (1 - held) * nothing_came
