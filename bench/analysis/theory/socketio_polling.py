"""Socket.IO on polling: as long polls, whose server pings.

Latency. As a long poll's: one transit if a poll is held, else until the next one is. What comes meanwhile is
  in the next answer, as a log's batch is.
Requests. As long polls', and two more every `wait_s`: the poll that a ping ends, and the POST of the pong.
  The share of empty answers counts those, which come by a clock and not for want of news: no prediction.
"""

from __future__ import annotations

from bench.analysis.theory.load import Load
from bench.analysis.theory.long_poll import LongPoll

REQUESTS_A_PING = 2


class SocketIoPolling(LongPoll):
    """Ask, be held, and answer pings."""

    def rates(self, rate: float, poll_interval_s: float, wait_s: float) -> dict[str, float]:
        """A long poll's requests without end, and those of the pings."""
        return {"request": rate + REQUESTS_A_PING / wait_s}

    def _requests(self, load: Load) -> float | None:
        requests = super()._requests(load)
        if requests is None or not load.rate:
            return requests
        return requests + REQUESTS_A_PING / (load.rate * load.wait_s)

    def _empty_share(self, load: Load) -> float | None:
        return None
