"""One thread pings all WebSockets, event streams and sessions of Engine.IO, so that dead peers are found
without a timer for each.

Who is pinged says when a pong is overdue, and then closes the connection at the next ping. Each connection's
pings are timed from its joining, so that they are as spread as the joins.

Time is what the server was awake for: after a pause of the whole process (a laptop's lid, SIGSTOP) nothing is
caught up on, and no pong is overdue that could not have been read.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

TICKS_AN_INTERVAL = 25
# A tick may come late on a busy server. What is later than so many ticks was a pause.
MOST_TICKS = 5


class Pinged(Protocol):
    """A connection that can be pinged."""

    def ping(self, now_s: float) -> None:
        """Send a ping, or close the connection if its pong is overdue by this clock."""


class Pinger:
    """Pings the connections that it watches, every `interval_s` seconds each."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._tick_s = interval_s / TICKS_AN_INTERVAL
        self._awake_s = 0.0
        self._due_s: dict[Pinged, float] = {}
        self._lock = threading.Lock()
        self._running = False

    def watch(self, connection: Pinged) -> None:
        """Ping this connection until `forget`."""
        with self._lock:
            self._due_s[connection] = self._awake_s + self._interval_s
            if not self._running:
                self._running = True
                self._start()

    def forget(self, connection: Pinged) -> None:
        with self._lock:
            self._due_s.pop(connection, None)

    def ping_in(self, connection: Pinged, seconds: float) -> None:
        """Let the next ping of a watched connection come so many seconds from now."""
        with self._lock:
            if connection in self._due_s:
                self._due_s[connection] = self._awake_s + seconds

    @contextmanager
    def watching(self, connection: Pinged) -> Iterator[None]:
        """Ping this connection for as long as it is watched."""
        self.watch(connection)
        try:
            yield
        finally:
            self.forget(connection)

    def _start(self) -> None:
        """Begin to tick."""
        threading.Thread(target=self._run, daemon=True, name="pinger").start()

    def _run(self) -> None:
        before_s = time.monotonic()
        while True:
            time.sleep(self._tick_s)
            now_s = time.monotonic()
            self.tick(now_s - before_s)
            before_s = now_s

    def tick(self, passed_s: float) -> None:
        """Ping whoever is due, so many seconds after the last tick."""
        with self._lock:
            self._awake_s += min(passed_s, MOST_TICKS * self._tick_s)
            due = [connection for connection, due_s in self._due_s.items() if due_s <= self._awake_s]
            for connection in due:
                self._due_s[connection] += self._interval_s
        for connection in due:
            connection.ping(self._awake_s)
