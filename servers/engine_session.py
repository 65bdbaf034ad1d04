"""A session of Engine.IO 4 on threads or greenlets, on polling or on one of our WebSockets.

Rules, beside those of `sessions.py`:
1. On a WebSocket replies are written where they are made, so a client that does not read them is slowed by
   TCP. So a session needs no task of its own.
2. A client that closes the connection of its held poll, or that does not take an answer whole, has gone: its
   session would have a hole.
3. A poll that is held when the upgrade begins is ended, and nothing is taken for the WebSocket before it has.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from engineio.exceptions import EngineIOError
from flask import Response
from simple_websocket import ConnectionClosed

from servers.bodies import READ
from servers.connection import Connection
from servers.http_poll import BatchResponse
from servers.rules.engine_io import (
    AFTER,
    BEFORE,
    NOOP,
    PROBE,
    PROBE_TIMEOUT_S,
    PROBED,
    UPGRADE,
    event_frame,
    no_packet,
    packets_of,
    payload,
    payload_fields,
)
from servers.rules.frames import GOING_AWAY
from servers.sessions import BaseSession
from servers.stream import Batch, Waiter
from servers.turns import Turn
from servers.unaccepted import UnacceptedFull
from servers.upgrade import wants_websocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from servers.engine import Engine

# What a session's first request tells of its client, and is asked for later. The rest is not kept.
KEPT = ("HTTP_COOKIE", "HTTP_X_FORWARDED_FOR", "REMOTE_ADDR")


class Upgraded(Response):
    """Nothing is left to answer: the WebSocket has ended. gunicorn is told by StopIteration."""

    def __call__(self, *_: object) -> Iterable[bytes]:
        raise StopIteration


class Session(BaseSession):
    """One client's session."""

    server: "Engine"

    def __init__(self, server: "Engine", sid: str, environ: "WSGIEnvironment") -> None:
        kept = {name: environ[name] for name in KEPT if name in environ}
        super().__init__(server, sid, kept, server.streams.address(), Waiter())
        self._connection: Connection | None = None
        self._taking = threading.Lock()

    def reply(self, packet: str) -> None:
        """Raises ConnectionClosed and OSError too."""
        if self._connection:
            self._connection.send(packet)
        else:
            super().reply(packet)

    def _take(self, wait_s: float | None) -> tuple[list[str], Batch | None]:
        """What there is to write, packets before the batch. Waits for either, `wait_s` on a stream."""
        waiter = self._waiter
        # What it was nudged for until now is seen below.
        waiter.nudged = False
        if self.stream is None:
            waiter.event.clear()
            if not self._packets and not self.is_over and self.stream is None:
                self.server.streams.wait_for_stop(waiter)
        stream = self.stream
        if stream is None or self.closed:
            return self._take_packets(), None
        waits_not = self._first or self._packets or self.is_over
        return self._taken(stream, stream.batch(self._position, 0.0 if waits_not else wait_s, waiter))

    # Polling

    def handle_get_request(self, environ: "WSGIEnvironment", start_response: object) -> Response:
        """The answer to a poll, or to an upgrade; raises EngineIOError."""
        if wants_websocket(environ):
            return self.server.upgrade(self, environ)
        self.asked()
        self.refuse_repeated(environ["QUERY_STRING"])
        if not self._taking.acquire(blocking=False):
            # Two polls at once would share what comes.
            raise EngineIOError
        try:
            with self.server.departures.watching(environ, self._waiter):
                packets, batch = self._take(self.server.ping_interval + self.server.ping_timeout)
        finally:
            self._taking.release()
        if self.is_over:
            self.close()
        return self.payload(packets, batch)

    def payload(self, packets: list[str], batch: Batch | None) -> Response:
        """The answer to a poll."""
        size, pieces = payload(packets, batch)
        return BatchResponse(self._written(pieces), headers=payload_fields(size))

    def _written(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Rule 2: whoever writes them asks for more only after it has written all."""
        whole = False
        try:
            yield from pieces
            whole = True
        finally:
            if not whole:
                self.close(reason=self.server.reason.TRANSPORT_ERROR)

    def handle_post_request(self, environ: "WSGIEnvironment") -> None:
        """The client's packets; raises EngineIOError, which ends the session."""
        self.asked()
        try:
            packets = packets_of(environ[READ].data)
        except ValueError:
            raise EngineIOError from None
        turn = Turn()
        try:
            for packet in packets:
                if self.closed:
                    break
                self.receive_text(packet)
                turn.worked()
        except (ConnectionClosed, OSError, UnacceptedFull):
            raise EngineIOError from None

    # WebSocket

    def serve(self, connection: Connection, first_packet: str | None) -> None:
        """Carry the session on this connection until either ends, once the client has left polling for it."""
        started = threading.Event()

        def receive(message: str | bytes) -> None:
            if isinstance(message, bytes):
                # An attachment of an event whose first packet was refused.
                return
            try:
                if started.is_set():
                    self.receive_text(message)
                elif message == PROBE:
                    connection.send(PROBED)
                    # The client goes on when its poll was answered.
                    self._queue(NOOP)
                elif message == UPGRADE:
                    self._move(connection)
                    started.set()
                else:
                    raise EngineIOError
            except EngineIOError:
                raise no_packet() from None

        def ended() -> None:
            if self._connection is connection:
                self._waiter.interrupt()
            started.set()

        try:
            if first_packet is not None:
                self.connected = self.upgraded = True
                self._connection = connection
                connection.send(first_packet)
                started.set()
            connection.listen(receive, on_end=ended)
            started.wait(PROBE_TIMEOUT_S)
            self.server.upgrade_ended(self)
            if self._connection is connection:
                self._write(connection)
        except (ConnectionClosed, OSError):
            pass
        if self._connection is connection:
            self.close()
        connection.close(GOING_AWAY if self.server.streams.stopping else None)

    def _move(self, connection: Connection) -> None:
        """Leave polling for this WebSocket; raises EngineIOError if another was faster."""
        self._leave_polling()
        with self._taking:
            self._connection = connection
        self._count_moved()

    def _write(self, connection: Connection) -> None:
        while True:
            # What came before the end is delivered; what goes on coming is not waited for.
            ending = self.is_over
            packets, batch = self._take(None)
            for packet in packets:
                connection.send(packet)
            if batch:
                connection.send_batch(batch, event_frame, BEFORE, AFTER)
            if ending:
                return
