"""What the theories of all transports share: fan-outs, distributions, the band, and what a theory may know.

Every latency counts from when the notification was due, so it has a added (the symbols: `load.py`).

Fan-out. One notification wakes all who wait, and one core serves them. They are served in their order, so the
  k-th is done after k times the work of one. f is how long that keeps one of them on average.
  - Threads (`gthread`) do not come one after the other: all wake at once, and each needs several turns at the
    interpreter's lock (to wake, to look, to write), which go round. Equal jobs that share a core for a time F
    are done at F/2 on average if they are served in order, and at F if they take turns evenly (Kleinrock
    1976, ch. 4: processor sharing). We take the middle, uniform on [F/2, F], and widen the band by how far
    off that may be, F/4. New requests queue behind the threads that woke.
Several at once. Only delay is in these formulas: a link that also jitters, loses packets or limits bandwidth
  gets no prediction (a lost segment costs a retransmission timeout, not a transit). A saturated cell (the
  server's core ≥ 95 % busy) has a queue without a mean, and gets none.

The band. A measurement meets its prediction if it lies within BAND_SHARE of it or, if that is less, within an
  absolute slack: LATENCY_SLACK_MS for latency (none of the theories knows the relay's lateness, which its
  gate lets reach 2 ms at p99, the scheduler's, nor the millisecond in which a server wakes everybody before
  the first answer), COUNT_SLACK for counts and shares. Threads' fan-out adds its F/4.

Sources: RFC 6202 §2.2 (long polling's latency, one to three transits), RFC 6455 §1.2 (no request after the
handshake), RFC 9293 §3.5 (TCP's handshake), Cox, Renewal Theory (1962) for the cycle argument, Kleinrock,
Queueing Systems II (1976) for processor sharing; the rest is elementary.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.analysis.cells import Cell
from bench.analysis.theory import bill
from bench.analysis.theory.bill import Upkeep, Work
from bench.analysis.theory.load import Load

Floats = npt.NDArray[np.float64]

SATURATED_SHARE = 0.95
"""From this share of the server's core on, no prediction is given."""

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


class Theory:
    """One transport's theory and bill. This one knows nothing: a transport's own overrides what it knows."""

    service_metric: ClassVar[str] = bill.CPU_PER_REQUEST
    """The metric that measures s."""
    most_transits: ClassVar[int] = 1
    """How many transits a notification takes at the most."""
    met_by_all: ClassVar[tuple[str, ...]] = ()
    """Metrics whose prediction every subscriber of the transport meets: to hold them against it says
    nothing."""
    upkeep: ClassVar[Upkeep | None] = None
    """What an idle subscriber makes the server do; None if the transport has no bill."""

    # --- latency and calls; None if there is no theory for it ---

    def mean_latency_s(self, load: Load) -> float | None:
        """Mean delivery latency (s)."""
        return self._mean_s(load) if load.predictable else None

    def latency_share_below(self, load: Load, latency_s: Floats) -> Floats | None:
        """The distribution function of delivery latency at the given latencies (s), each in 0 … 1."""
        if not load.predictable:
            return None
        return self._share_below(load, np.asarray(latency_s, dtype=float) - load.least_s)

    def latency_quantiles_s(self, load: Load) -> Floats | None:
        """Latency (s) at each of QUANTILES, by inverting `latency_share_below`."""
        spread_s = load.effective_interval_s + self.fan_out_s(load) + self.unattended_s(load) + load.service_s
        grid = load.least_s + np.concatenate([[0.0], np.geomspace(1e-7, max(spread_s, 1e-6), 4000)])
        share = self.latency_share_below(load, grid)
        if share is None:
            return None
        position = np.searchsorted(share, QUANTILES, side="left")
        found: Floats = grid[np.minimum(position, len(grid) - 1)]
        return found

    def requests_per_delivery(self, load: Load) -> float | None:
        """Requests that a subscriber makes for each notification."""
        return self._requests(load) if load.predictable else None

    def empty_response_share(self, load: Load) -> float | None:
        """Share of answers that bring nothing. None too if notifications do not come as a Poisson stream."""
        if load.publish_rate > 0 and (load.schedule != "poisson" or not load.predictable):
            return None
        return self._empty_share(load)

    def band(self, load: Load, metric: str, predicted: float) -> float:
        """How far a measurement of `metric` may lie from its prediction, in the metric's unit."""
        share = BAND_SHARE * predicted
        if not metric.startswith("latency_ms"):
            return max(share, COUNT_SLACK)
        turns_ms = self.fan_out_s(load) / 4 * 1000.0 if load.server_model == "gthread" else 0.0
        return max(share, LATENCY_SLACK_MS) + turns_ms

    # --- fan-outs ---

    def fan_out(self, load: Load) -> tuple[Served, ...]:
        """How those who wait are served one notification; nobody is, unless the transport says so."""
        return ()

    def fan_out_s(self, load: Load) -> float:
        """F: how long a fan-out takes, to the last of those who waited."""
        return max((part.to_s for part in self.fan_out(load)), default=0.0)

    def mean_fan_out_s(self, load: Load) -> float:
        """f: how long a fan-out keeps its subscribers waiting on average."""
        return sum(part.share * (part.from_s + part.to_s) / 2 for part in self.fan_out(load))

    def unattended_s(self, load: Load) -> float:
        """w: how long nobody waits at the server after an answer."""
        return load.away_s + load.service_s + self.mean_fan_out_s(load)

    # --- the bill ---

    def work(self, cell: Cell) -> Work | None:
        """The operation whose CPU cost the cell tells; None if it tells of none."""
        return None

    def tells_memory(self, cell: Cell) -> bool:
        """Does the cell's memory tell what one more subscriber takes?"""
        return False

    def polls_per_second(self, cell: Cell) -> float:
        """Requests, or else pings, a second of each subscriber."""
        return bill.value(cell, bill.REQUESTS) or 0.0

    def came_back(self, cell: Cell) -> bool:
        """Did subscribers lose their connection in the window, and open another?"""
        return False

    def rates(self, rate: float, poll_interval_s: float, wait_s: float) -> dict[str, float]:
        """Operations a second for each user who is told of so many notifications a second, by name."""
        return {}

    # --- what a transport's own theory says of a predictable load ---

    def _mean_s(self, load: Load) -> float | None:
        return None

    def _share_below(self, load: Load, late_s: Floats) -> Floats | None:
        """The distribution function of the lateness (s) beyond what every delivery takes."""
        return None

    def _requests(self, load: Load) -> float | None:
        return None

    def _empty_share(self, load: Load) -> float | None:
        """Of an idle load too."""
        return None


def take_turns(last_s: float) -> Served:
    """Threads that share the core until `last_s`: uniform on its second half."""
    return Served(1.0, last_s / 2, last_s)


def uniform_sum(x: Floats, first: float, second: float) -> Floats:
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
