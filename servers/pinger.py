"""One thread pings all WebSockets, so that dead peers are found without a timer for each.

If a peer's pong is overdue (`connection.py` says when it is), its connection is closed at the next ping. Each
connection's pings are timed from its joining, so that they are as spread as the joins.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from servers.connection import Connection

TICKS_AN_INTERVAL = 25


class Pinger:
    """Pings the connections that it watches, every `interval_s` seconds each."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_s: dict[Connection, float] = {}
        self._lock = threading.Lock()
        self._running = False

    @contextmanager
    def watching(self, connection: Connection) -> Iterator[None]:
        """Ping this connection for as long as it is watched."""
        with self._lock:
            self._due_s[connection] = time.monotonic() + self._interval_s
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True, name="pinger").start()
        try:
            yield
        finally:
            with self._lock:
                del self._due_s[connection]

    def _run(self) -> None:
        while True:
            time.sleep(self._interval_s / TICKS_AN_INTERVAL)
            now_s = time.monotonic()
            with self._lock:
                due = [connection for connection, due_s in self._due_s.items() if due_s <= now_s]
                for connection in due:
                    self._due_s[connection] += self._interval_s
            for connection in due:
                connection.ping()
