"""gunicorn's thread worker, where a thread is taken only by what can be served.

Rules:
1. The thread that accepts reads heads as they come and hands whole ones to the threads that serve. gunicorn
   has a thread read each, which waits in it; for a new connection with a second descriptor.
2. It never waits for one peer. gunicorn closes a connection gracefully in it, up to two seconds each; here
   one that closes is watched like the others.
3. Out of descriptors it makes room and goes on. gunicorn lets the worker die.
"""

import errno
import selectors
import socket
import time
from collections import OrderedDict
from functools import partial
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.workers import gthread

from servers.connection import RECEIVE_BYTES
from servers.ending import Ending
from servers.parsing import Parser, TellingLimits
from servers.patience import Phase, RequestTimeout
from servers.process import LINGER_S
from servers.rules.heads import Head

NOBODY_THERE = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)
OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
OUT_OF_ROOM_PAUSE_S = 0.01


class Client(gthread.TConn):  # type: ignore[misc]
    """A connection, and the head that has come of its next request."""

    def __init__(self, cfg: Any, sock: socket.socket, address: Any, server: Any) -> None:
        super().__init__(cfg, sock, address, server)
        sock.setblocking(True)
        self.parser = Parser(cfg, sock, address)
        self.initialized = True
        self.head = Head()
        self.has_pipelined = False


class ThreadWorker(Ending, TellingLimits, gthread.ThreadWorker):  # type: ignore[misc]
    """Waits for its peers as `patience.py` says, and ends as `ending.py` says."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._closing: OrderedDict[Client, float] = OrderedDict()
        """Connections that were told their end, and when they are closed whatever their peers do."""

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

    def accept(self, listener: Any) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_ROOM:
                if not self._make_room():
                    time.sleep(OUT_OF_ROOM_PAUSE_S)
            elif error.errno not in NOBODY_THERE:
                raise
            return
        self.nr_conns += 1
        if self.nr_conns > self.patience.most_connections:
            self._make_room()
        self._read_head(Client(self.cfg, sock, address, listener.getsockname()))

    def _make_room(self) -> bool:
        """Whether there was anybody whose place could be taken."""
        if self._closing:
            self._close(next(iter(self._closing)))
            return True
        return self.patience.cut_longest()

    def _watch(self, client: Client, callback: Any) -> None:
        self.poller.register(client.sock, selectors.EVENT_READ, partial(callback, client))

    def _on_readable(self, client: Client, sock: socket.socket) -> None:
        self.poller.unregister(sock)
        client.parser.unreader.turn.waited()
        self._read_head(client)

    def _read_head(self, client: Client) -> None:
        """Read what has come of a head, if anything has."""
        try:
            piece = client.sock.recv(client.parser.unreader.mxchunk, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._wait_for(client)
        except OSError:
            self._drop(client)
        else:
            self._take(client, piece)

    def _wait_for(self, client: Client) -> None:
        self.patience.wait_for(client.parser.unreader)
        self._watch(client, self._on_readable)

    def _take(self, client: Client, piece: bytes) -> None:
        """Serve the request if this makes its head whole."""
        unreader = client.parser.unreader
        if not piece:
            if unreader.refusal is None:
                self._drop(client)
            else:
                self.handle_error(None, client.sock, client.client, RequestTimeout(unreader.refusal))
                self._say_end(client)
            return
        if unreader.phase is not Phase.HEAD:
            unreader.begin(Phase.HEAD)
        if not client.head.is_read(piece):
            self._wait_for(client)
            return
        unreader.begin(Phase.HEAD)
        unreader.unread(client.head)
        client.head = Head()
        self.enqueue_req(client)

    def handle(self, conn: Client) -> bool:
        """Serve one request, in a thread; in place of gunicorn's, which sets the socket up for each."""
        self.beat()
        if conn.has_pipelined:
            conn.parser.unreader.turn.worked()
        request = None
        try:
            request = next(conn.parser)
            return bool(self._keepalive_after(conn, self.handle_request(request, conn)))
        except (StopIteration, NoMoreData):
            pass
        except OSError:
            # If only the peer has gone, `gunicorn_conf.py` keeps it out of the log.
            self.log.exception("A connection failed.")
        except Exception as error:  # noqa: BLE001  (told to the client, and in the log)
            self.handle_error(request, conn.sock, conn.client, error)
        return False

    def finish_request(self, conn: Client, fs: Any) -> None:
        """A thread is done with a request, or with its connection."""
        try:
            keeps = not fs.cancelled() and bool(fs.result())
        except Exception:  # noqa: BLE001  (told by `handle`; what it could not tell ends the connection)
            keeps = False
        if not keeps:
            self._say_end(conn)
            return
        unreader = conn.parser.unreader
        unreader.begin(Phase.IDLE)
        conn.has_pipelined = unreader.buf.tell() > 0
        if conn.has_pipelined:
            # It came with what was read before, and would not make the socket readable.
            self._take(conn, unreader.take_buffered())
        else:
            self._wait_for(conn)

    def _drop(self, client: Client) -> None:
        """Close a connection whose peer has gone."""
        client.parser.unreader.begin(Phase.END)
        self.nr_conns -= 1
        client.close()

    def _say_end(self, client: Client) -> None:
        """Close once the peer has, so that it can read what it was told (RFC 9112, section 9.6)."""
        client.parser.unreader.begin(Phase.END)
        try:
            client.sock.setblocking(False)
            client.sock.shutdown(socket.SHUT_WR)
            self._watch(client, self._on_end)
        except (OSError, ValueError):
            self._drop(client)
            return
        self._closing[client] = time.monotonic() + LINGER_S

    def _on_end(self, client: Client, sock: socket.socket) -> None:
        """What still comes is dropped."""
        if client not in self._closing:
            # Its place was taken since this was seen.
            return
        try:
            ended = not sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._close(client)

    def _close(self, client: Client) -> None:
        del self._closing[client]
        self.poller.unregister(client.sock)
        self.nr_conns -= 1
        client.close()

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections whose peers do not; gunicorn's loop asks for it each time it goes round."""
        now_s = time.monotonic()
        while self._closing:
            client, until_s = next(iter(self._closing.items()))
            if until_s > now_s and not force:
                break
            self._close(client)
