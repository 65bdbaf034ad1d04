"""gunicorn's thread worker, with its slow goodbyes moved out of the accepting thread.

gunicorn 27 closes a connection gracefully in the thread that accepts: it waits up to two seconds for
the peer to close too, and nobody else is served meanwhile. Here the thread that served the connection
waits, so that by the time the accepting thread closes it there is nothing to wait for.
"""

from typing import Any

from gunicorn.workers import gthread

from servers.connection import linger


class ThreadWorker(gthread.ThreadWorker):  # type: ignore[misc]
    def handle(self, conn: Any) -> Any:
        keep = super().handle(conn)
        if keep is False:
            linger(conn.sock)
        return keep
