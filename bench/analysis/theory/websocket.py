"""WebSocket: one transit late, and its place in the fan-out; no request after the handshake (RFC 6455 §1.2).

Latency. One transit: d, whatever the schedule.
Fan-out. One notification wakes all N WebSockets, and each takes s: uniform on [0, N·s]. A second notification
  meanwhile adds nothing: who has not been served yet gets both in one batch, the others come round again, and
  the mean over all stays N·s/2. Threads (`base.py`) take turns until F = N·s.

The bill. A delivery while news comes (no ping is due then, in a window), and a ping with its pong every
  `wait_s` (w) while none does. A peer that answers a ping too late is cut and connects again; its handshake
  is not a ping's cost. A user makes λ deliveries and 1/w pings a second.
"""

from __future__ import annotations

import numpy as np

from bench.analysis.cells import Cell
from bench.analysis.theory import bill
from bench.analysis.theory.base import Floats, Served, Theory, take_turns, uniform_sum
from bench.analysis.theory.bill import Upkeep, Work
from bench.analysis.theory.load import Load


class WebSocket(Theory):
    """Be told."""

    service_metric = bill.CPU_PER_DELIVERY
    upkeep = Upkeep("renewal", "wait_s", "pinged every")

    def fan_out(self, load: Load) -> tuple[Served, ...]:
        """All N, one after the other."""
        work_s = load.subscribers * load.service_s
        return (take_turns(work_s) if load.server_model == "gthread" else Served(1.0, 0.0, work_s),)

    def work(self, cell: Cell) -> Work | None:
        """A delivery, or an idle cell's ping."""
        if not bill.is_idle(cell):
            return Work("delivery", bill.deliveries_per_second(cell), bill.CPU_PER_DELIVERY)
        wait_s = float(cell.settings["wait_s"])
        return Work("renewal", int(cell.settings["subscribers"]) / wait_s, bill.CPU_IDLE, wait_s)

    def tells_memory(self, cell: Cell) -> bool:
        """While it waits."""
        return bill.is_idle(cell)

    def polls_per_second(self, cell: Cell) -> float:
        """Its pings; while news comes, none is due in a window."""
        return 1.0 / float(cell.settings["wait_s"]) if bill.is_idle(cell) else 0.0

    def came_back(self, cell: Cell) -> bool:
        """It makes a request only to connect."""
        return bool(bill.value(cell, bill.REQUESTS))

    def rates(self, rate: float, poll_interval_s: float, wait_s: float) -> dict[str, float]:
        """λ deliveries, and a ping every `wait_s`."""
        return {"delivery": rate, "renewal": 1.0 / wait_s}

    def _mean_s(self, load: Load) -> float | None:
        return load.least_s + self.mean_fan_out_s(load)

    def _share_below(self, load: Load, late_s: Floats) -> Floats | None:
        share = np.zeros_like(late_s)
        for part in self.fan_out(load):
            share += part.share * uniform_sum(late_s - part.from_s, part.to_s - part.from_s, 0.0)
        return share

    def _requests(self, load: Load) -> float | None:
        return 0.0
