"""Heartbeats for clients that see neither pings nor comments: an empty batch if nothing was sent for so long.

A client asks with `heartbeat=<seconds>`. One timer serves all who do; nobody else pays for it. It only looks
whether a heartbeat is due and wakes the subscriber's waiter, who sends it in his place in the order.

    with heartbeats.watching(waiter, heartbeat_argument()) as heartbeat:
        heartbeat.sent()            # after each batch
"""

import heapq
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from flask import request
from werkzeug.exceptions import BadRequest

from servers.stream import Waiter

MAX_HEARTBEAT_S = 60
SECONDS = re.compile(r"[1-9]|[1-5][0-9]|60")
TICK_S = 0.05


def heartbeat_argument() -> int | None:
    """The seconds that the request asks for, or None; raises BadRequest rather than clamp them."""
    given = request.args.getlist("heartbeat")
    if not given:
        return None
    if len(given) > 1 or not SECONDS.fullmatch(given[0]):
        raise BadRequest(f"heartbeat must be one whole number of seconds, 1 to {MAX_HEARTBEAT_S}.")
    return int(given[0])


class Heartbeat:
    """When one subscriber was last sent anything."""

    __slots__ = ("ended", "interval_s", "sent_s", "waiter")

    def __init__(self, waiter: Waiter, interval_s: float) -> None:
        self.waiter = waiter
        self.interval_s = interval_s
        self.sent_s = time.monotonic()
        self.ended = False

    def sent(self) -> None:
        """Something was sent, so what was due before is not due any more."""
        self.sent_s = time.monotonic()
        self.waiter.nudged = False


class Heartbeats:
    """The timer of all heartbeats. Each waits in a heap for when it may be due."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Heartbeat]] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._running = False

    @contextmanager
    def watching(self, waiter: Waiter, interval_s: float | None) -> Iterator[Heartbeat | None]:
        """Nudge this waiter whenever nothing was sent for so long; None: never."""
        if interval_s is None:
            yield None
            return
        heartbeat = Heartbeat(waiter, interval_s)
        with self._lock:
            self._push(heartbeat, heartbeat.sent_s + interval_s)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True, name="heartbeats").start()
        try:
            yield heartbeat
        finally:
            heartbeat.ended = True

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
