"""Short poll: T/2 and one transit late, and asked 1/T times a second whether there is news or not.

Latency. The request that fetches a notification reaches the server uniformly within [0, T] after the
  notification was accepted, whatever T, λ, schedule and d (a subscriber's phase is drawn uniformly). Its
  answer takes s and one transit: uniform on [d + s, d + s + T], mean T/2 + d + s. With constant publishing
  the mean is the same, and the distribution depends on phase: none is given.
Requests. A subscriber makes 1/T requests a second, so 1/(λT) for each notification, and a share e^(−λT) finds
  nothing (no Poisson arrival in T). How on-off notifications cluster is not in that share.
A slow link. A poll takes 2d + s; if that exceeds T, ticks pass while it is under way, and T becomes the next
  multiple that has room. On a fresh connection a poll takes 4d + s. Its latency stays: what counts is when
  its request reaches the server, and that is as uniform as before.
Fan-out. Polls come spread over T rather than together, so there is none: the N-th does not wait for the
  others.

The bill. Every poll costs the same, with news or without. Nothing is held open between two polls, so memory
  is told by a cell with news as well as by an idle one. A user makes 1/T requests a second.
"""

from __future__ import annotations

import math

from bench.analysis.cells import Cell
from bench.analysis.theory import bill
from bench.analysis.theory.base import Floats, Theory, uniform_sum
from bench.analysis.theory.bill import Upkeep, Work
from bench.analysis.theory.load import Load


class ShortPoll(Theory):
    """Ask every T."""

    met_by_all = ("requests_per_delivery",)
    """1/(λT), with λ as it came out, holds of any poller that asks every T."""
    upkeep = Upkeep("request", "poll_interval_s", "asking every")

    def work(self, cell: Cell) -> Work | None:
        """An answered poll."""
        return Work("request", bill.requests_per_second(cell), bill.CPU_PER_REQUEST)

    def tells_memory(self, cell: Cell) -> bool:
        """Always."""
        return True

    def rates(self, rate: float, poll_interval_s: float, wait_s: float) -> dict[str, float]:
        """1/T requests."""
        return {"request": 1.0 / poll_interval_s}

    def _mean_s(self, load: Load) -> float | None:
        return load.effective_interval_s / 2 + load.least_s + load.service_s

    def _share_below(self, load: Load, late_s: Floats) -> Floats | None:
        if load.schedule == "constant":
            return None
        return uniform_sum(late_s - load.service_s, load.effective_interval_s, 0.0)

    def _requests(self, load: Load) -> float | None:
        return 1 / (load.rate * load.effective_interval_s)

    def _empty_share(self, load: Load) -> float | None:
        return math.exp(-load.rate * load.effective_interval_s)
