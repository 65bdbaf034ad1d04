"""Heartbeats for clients that see neither pings nor comments: an empty batch if nothing was sent for so long.

A client asks with `heartbeat=<seconds>`. One timer serves all who do; nobody else pays for it. It only looks
whether a heartbeat is due and wakes the subscriber's waiter, who sends it in his place in the order.

    with heartbeats.watching(waiter, heartbeat_argument()) as heartbeat:
        heartbeat.sent()            # after each batch
"""

import heapq
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Protocol

TICK_S = 0.05


class Nudged(Protocol):
    """Whom a heartbeat wakes."""

    nudged: bool

    def nudge(self) -> None:
        """Answer once, now or when it waits next, whatever there is."""


class Heartbeat:
    """When one subscriber was last sent anything."""

    __slots__ = ("ended", "interval_s", "sent_s", "waiter")

    def __init__(self, waiter: Nudged, interval_s: float) -> None:
        self.waiter = waiter
        self.interval_s = interval_s
        self.sent_s = time.monotonic()
        self.ended = False

    def sent(self) -> None:
        """Something was sent, so what was due before is not due any more."""
        self.sent_s = time.monotonic()
        self.waiter.nudged = False

    def is_due(self) -> bool:
        """Whether nothing was sent for so long."""
        return time.monotonic() - self.sent_s >= self.interval_s


class Heartbeats:
    """The timer of all heartbeats. Each waits in a heap for when it may be due."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Heartbeat]] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._running = False

    def watch(self, waiter: Nudged, interval_s: float) -> Heartbeat:
        """Nudge this waiter whenever nothing was sent for so long, until its heartbeat has ended."""
        heartbeat = Heartbeat(waiter, interval_s)
        with self._lock:
            self._push(heartbeat, heartbeat.sent_s + interval_s)
            if not self._running:
                self._running = True
                self._start()
        return heartbeat

    @contextmanager
    def watching(self, waiter: Nudged, interval_s: float | None) -> Iterator[Heartbeat | None]:
        """The same for a block; None: never."""
        if interval_s is None:
            yield None
            return
        heartbeat = self.watch(waiter, interval_s)
        try:
            yield heartbeat
        finally:
            heartbeat.ended = True

    def _start(self) -> None:
        """Begin to tick every TICK_S."""
        threading.Thread(target=self._run, daemon=True, name="heartbeats").start()

    def _push(self, heartbeat: Heartbeat, due_s: float) -> None:
        heapq.heappush(self._waiting, (due_s, next(self._numbers), heartbeat))

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            self.tick(time.monotonic())

    def tick(self, now_s: float) -> None:
        """Nudge whose heartbeat is due. After a pause, too, each is nudged once."""
        with self._lock:
            while self._waiting and self._waiting[0][0] <= now_s:
                _, _, heartbeat = heapq.heappop(self._waiting)
                if heartbeat.ended:
                    continue
                due_s = heartbeat.sent_s + heartbeat.interval_s
                if due_s <= now_s:
                    heartbeat.waiter.nudge()
                    due_s = now_s + heartbeat.interval_s
                self._push(heartbeat, due_s)
