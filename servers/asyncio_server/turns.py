"""Turns on an event loop: a peer that always has more to read is served a slice at a time.

Rules, as in `servers/turns.py`:
1. Who has worked for SLICE_S goes behind all who have anything to do. One of those who do goes on at a time.
2. If others have prolonged the wait, a pause is added, since they may be processes on the same core.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from servers.turns import PAUSE_S, PROLONGED_S, Turn


class Turns:
    """Those who go on later, in the order of their coming."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[Callable[[], None]] = deque()
        self._since_s = 0.0

    def later(self, go_on: Callable[[], None]) -> None:
        """Call this when others had their turn."""
        self._queue.append(go_on)
        if len(self._queue) == 1:
            self._glance()

    def turn(self) -> "TaskTurn":
        """A turn of a task that serves one peer."""
        return TaskTurn(self)

    def _glance(self) -> None:
        self._since_s = time.monotonic()
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        if len(self._queue) > 1 or time.monotonic() - self._since_s > PROLONGED_S:
            self._loop.call_later(PAUSE_S, self._next)
        else:
            self._next()

    def _next(self) -> None:
        go_on = self._queue[0]
        try:
            go_on()
        finally:
            # Who defers himself again stands behind the others.
            self._queue.popleft()
            if self._queue:
                self._glance()


class TaskTurn:
    """How long a task has served one peer without a wait."""

    __slots__ = ("_turn", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._turn = Turn()

    async def worked(self) -> None:
        """Count the time since the last call as work, and give way to others if it is due."""
        if self._turn.is_over():
            gone_on = asyncio.get_running_loop().create_future()
            self._turns.later(lambda: None if gone_on.done() else gone_on.set_result(None))
            await gone_on
            self._turn.gave_way()

    def waited(self) -> None:
        """Count the time since the last call as a wait, in which others were served."""
        self._turn.waited()
