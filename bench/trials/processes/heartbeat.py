"""Whether a process of the laboratory stood still: a heartbeat, and the longest gap between two beats.

A process that is stopped, starved or blocked for a while reads several messages at once when it goes on, and
the kernel gives one read the last message's stamp alone: latencies that were measured then are wrong, and
nothing in them shows it. So each process of a trial beats, and says how long it ever failed to.

Rules:
- A beat is a thread or a greenlet that sleeps for BEAT_S and looks at the monotonic clock. Of all gaps only
  the longest is kept, and how long all those above NOTED_S were together, since many short stalls spoil a p99
  as one long one does. A gap that has not ended yet counts.
- A thread sees that the whole process stood still; a greenlet, that the event loop did.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

BEAT_S = 0.01
NOTED_S = 0.04
"""On a quiet machine no gap is so long."""


def _start_thread(beat: Callable[[], None]) -> None:
    threading.Thread(target=beat, name="heartbeat", daemon=True).start()


class Heartbeat:
    """Beats from its making until `end`. `start` runs a function beside everything else; in it, `sleep`
    waits."""

    def __init__(
        self,
        start: Callable[[Callable[[], None]], Any] = _start_thread,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> None:
        self._sleep = sleep
        self._ended = False
        self._from_s = math.inf
        self._longest_s = self._together_s = 0.0
        self._beaten_s = time.monotonic()
        start(self._beat)

    def watch(self, from_s: float) -> None:
        """Keep gaps that end after this moment of the monotonic clock, and forget those before."""
        self._from_s, self._longest_s, self._together_s = from_s, 0.0, 0.0

    def tell(self) -> dict[str, float]:
        """The longest gap since, and all long ones together, in ms. Call `watch` before."""
        gap_s = time.monotonic() - self._beaten_s
        together_s = self._together_s + (gap_s if gap_s > NOTED_S else 0.0)
        return {"longest": 1000 * max(self._longest_s, gap_s), "together": 1000 * together_s}

    def end(self) -> None:
        """Beat no more."""
        self._ended = True

    def _beat(self) -> None:
        while not self._ended:
            self._sleep(BEAT_S)
            now_s = time.monotonic()
            gap_s = now_s - self._beaten_s
            if now_s > self._from_s:
                self._longest_s = max(self._longest_s, gap_s)
                self._together_s += gap_s if gap_s > NOTED_S else 0.0
            self._beaten_s = now_s
