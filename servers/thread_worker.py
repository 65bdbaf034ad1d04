"""gunicorn's thread worker, with its slow goodbyes moved out of the accepting thread.

gunicorn 27 closes a connection gracefully in the thread that accepts: it waits up to two seconds for
the peer to close too, and nobody else is served meanwhile. Here the thread that served the connection
waits, so that by the time the accepting thread closes it there is nothing to wait for.
"""

from typing import Any

from gunicorn.workers import gthread

from servers.connection import linger
from servers.ending import Ending


class ThreadWorker(Ending, gthread.ThreadWorker):  # type: ignore[misc]
    """Ends as `ending.py` says."""

    def handle(self, conn: Any) -> Any:
        keep = super().handle(conn)
        if keep is False:
            linger(conn.sock)
        return keep

    def handle_exit(self, signal_number: int, frame: Any) -> None:
        super().handle_exit(signal_number, frame)
        # The loop may be waiting for its clients.
        self.method_queue.defer(lambda: None)

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not self.alive:
            # gunicorn would keep the port until the last client has gone.
            for listener in self.sockets:
                listener.close()
