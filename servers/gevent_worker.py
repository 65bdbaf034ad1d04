"""gunicorn's gevent worker: a greenlet for each connection.

Rules:
1. A greenlet that never waits would be the only one to run: it gives way by a budget of time (`turns.py`).
2. Who is told that his connection closes is given time to read it (RFC 9112, section 9.6).
"""

from typing import Any

import gevent
from gunicorn.http.errors import NoMoreData
from gunicorn.workers import ggevent

from servers.connection import linger
from servers.ending import Ending
from servers.parsing import Parser, TellingLimits
from servers.patience import Phase


class GeventWorker(Ending, TellingLimits, ggevent.GeventWorker):  # type: ignore[misc]
    """Waits for its peers as `patience.py` says, and ends as `ending.py` says."""

    connections = 0

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve one connection; in place of gunicorn's, which sets a timer for each request."""
        self.connections += 1
        self.patience.make_room(self.connections)
        client.setblocking(True)
        parser = Parser(self.cfg, client, addr)
        request = None
        try:
            listener_name = listener.getsockname()
            while True:
                request = None
                request = next(parser)
                self.beat()
                self.handle_request(listener_name, request, client, addr)
                if parser.unreader.buf.tell():
                    # The next has come with this one, so nothing will be waited for.
                    parser.unreader.turn.worked()
        except (StopIteration, NoMoreData, gevent.GreenletExit):
            pass
        except OSError:
            # If only the peer has gone, `gunicorn_conf.py` keeps it out of the log.
            self.log.exception("A connection failed.")
        except Exception as error:  # noqa: BLE001  (told to the client, and in the log)
            self.handle_error(request, client, addr, error)
        finally:
            unreader = parser.unreader
            unreader.begin(Phase.END)
            if not unreader.ended:
                self.patience.wait_for(unreader)
                linger(client)
                unreader.begin(Phase.END)
            client.close()
            self.connections -= 1
