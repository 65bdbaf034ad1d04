"""Short polling: ask on every tick of a clock, whether there is news or not.

T runs from start to start, on a grid whose phase is drawn uniformly from the seed, so that subscribers
that start together do not ask together. A tick that the request before it overran is skipped and counted;
so is one that falls into a pause after a lost connection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from clients.headers import poll_headers
from clients.subscriber import Delivery, Subscriber


class ShortPollSubscriber(Subscriber):
    """A client that asks every `poll_interval_s`, and is answered at once."""

    transport = "short-poll"
    label = "short poll"
    held = False
    factors = ("poll_interval_s", "headers", "connection")
    _next_tick_s: float | None = None

    def _deliveries(self) -> Iterator[Delivery]:
        headers = poll_headers(self.headers, self.endpoint.host_header, self.connection)
        while self._wait_for_tick():
            yield from self._poll(f"GET {self._target()} HTTP/1.1\r\n{headers}")

    def _wait_for_tick(self) -> bool:
        """Sleep until the next tick of the grid; False once closed."""
        interval_s = self.poll_interval_s
        now_s = time.monotonic()
        if self._next_tick_s is None:
            self._next_tick_s = now_s + self._random.uniform(0, interval_s)
        else:
            self._next_tick_s += interval_s
            if self._next_tick_s < now_s:
                overrun = math.ceil((now_s - self._next_tick_s) / interval_s)
                self.skipped_ticks += overrun
                self._next_tick_s += overrun * interval_s
        return not self._closed.wait(self._next_tick_s - now_s)
