"""When held polls end. All who wait equally long stand in one line, so that no timer is made for each."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


class Deadlines:
    """Calls `end(poll)` for each poll whose time is over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, end: Callable[[Any], None]) -> None:
        self._loop = loop
        self._end = end
        self._lines: dict[float, dict[Any, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")

    def add(self, poll: Any, wait_s: float) -> None:
        """End this poll after so many seconds."""
        until_s = time.monotonic() + wait_s
        line = self._lines.get(wait_s)
        if line is None:
            line = self._lines[wait_s] = {}
        line[poll] = until_s
        if until_s < self._timer_s:
            self._set_timer(until_s)

    def remove(self, poll: Any, wait_s: float) -> None:
        line = self._lines.get(wait_s)
        if line is not None and line.pop(poll, None) is not None and not line:
            del self._lines[wait_s]

    def _set_timer(self, until_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = until_s
        self._timer = self._loop.call_later(max(0.0, until_s - time.monotonic()), self._look)

    def _look(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        now_s = time.monotonic()
        over = []
        for line in self._lines.values():
            for poll, until_s in line.items():
                if until_s > now_s:
                    break
                over.append(poll)
        for poll in over:
            self._end(poll)
        if self._lines:
            self._set_timer(min(next(iter(line.values())) for line in self._lines.values()))
