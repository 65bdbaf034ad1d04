"""A session of Engine.IO 4, on polling or on one of our WebSockets.

Rules:
1. It has no queue of notifications. Whoever writes to the client (the held poll, the WebSocket's view) asks
   the stream for the next batch once all else has been written. So a session needs no task of its own, and a
   batch's packet is encoded once for all.
2. What does wait (acknowledgements for the next poll, pings) counts among all that is not accepted yet
   (`unaccepted.py`), and has a bound besides. On a WebSocket replies are written where they are made, so a
   client that does not read them is slowed by TCP.
3. A client that closes the connection of its held poll, or that does not take an answer whole, has gone: its
   session would have a hole.
4. A poll that is held when the upgrade begins is ended, and nothing is taken for the WebSocket before it has.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from engineio.exceptions import EngineIOError
from engineio.socket import Socket
from flask import Response
from simple_websocket import ConnectionClosed

from servers.bodies import READ
from servers.connection import Connection
from servers.http_poll import BatchResponse
from servers.rules.frames import GOING_AWAY, PROTOCOL_ERROR, TEXT, CloseWith, frame_header
from servers.settings import MIB
from servers.stream import Batch, Position, Stream, Waiter
from servers.turns import Turn
from servers.unaccepted import Claim, UnacceptedFull
from servers.upgrade import wants_websocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from servers.engine import Engine

MAX_PACKETS = 10_000
"""Packets in one payload of a client. python-engineio takes 16, which a publisher soon exceeds."""
PROBE_TIMEOUT_S = 10.0
MAX_QUEUED_BYTES = 4 * MIB
PACKET_BYTES = 100
"""What a queued packet takes beside its text, about."""

CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "1", "2", "3", "4", "5", "6"
PROBE, PROBED = "2probe", "3probe"
SEPARATOR = "\x1e"
BEFORE, AFTER = b'42["batch",', b"]"
# What a session's first request tells of its client, and is asked for later. The rest is not kept.
KEPT = ("HTTP_COOKIE", "HTTP_X_FORWARDED_FOR", "REMOTE_ADDR")


def event_packet(batch: Batch) -> bytes:
    """A small batch as the argument of an event: Engine.IO's message, Socket.IO's event."""
    return BEFORE + batch.body + AFTER


def event_frame(batch: Batch) -> bytes:
    """The same as a WebSocket's message."""
    packet = event_packet(batch)
    return frame_header(TEXT, len(packet)) + packet


class Upgraded(Response):
    """Nothing is left to answer: the WebSocket has ended. gunicorn is told by StopIteration."""

    def __call__(self, *_: object) -> Iterable[bytes]:
        raise StopIteration


class Session(Socket):  # type: ignore[misc]
    """One client's session."""

    server: "Engine"
    sid: str
    closed: bool
    connected: bool
    upgraded: bool
    upgrading: bool

    def __init__(self, server: "Engine", sid: str, environ: "WSGIEnvironment") -> None:
        super().__init__(server, sid)
        self.environ = {name: environ[name] for name in KEPT if name in environ}
        self.stream: Stream | None = None
        self._address = server.streams.address()
        self._waiter = Waiter()
        self._requests = 0
        self._joining: tuple[Stream, Position] | None = None
        self._position = Position(True, 0)
        self._first = True
        self._is_pinged = False
        """Whether a pong is waited for."""
        self._counted_as: str | None = None
        self._packets: deque[str] = deque()
        self._queued_bytes = 0
        self._claim = Claim(server.unaccepted)
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._taking = threading.Lock()

    @property
    def _name(self) -> str:
        return self.server.names[self.upgraded]

    def join(self, stream: Stream, position: Position) -> None:
        """Take a subscriber's place; raises SubscribersFull or StreamsFull."""
        with self._lock:
            if not self.closed:
                self.server.streams.enter(stream, self._name, self._address)
                self._counted_as = self._name
                self._joining = stream, position
        self.server.unjoined.remove(self)

    def begin(self) -> None:
        """Follow the stream that was joined, now that the client has been told so. Again: nothing."""
        if self._joining and self.stream is None:
            stream, self._position = self._joining
            stream.count(self._name, requests=self._requests)
            self.stream = stream
            self._waiter.nudge()

    def leave(self) -> None:
        """Give the place up; the client has as long to join again as it had at first, or ends the session."""
        with self._lock:
            self._count_out()
            self.stream = None
            self._first = True
        self._waiter.nudge()
        self.server.unjoined.add(self)

    def _count_out(self) -> None:
        """The caller holds the lock."""
        if self._joining and self._counted_as:
            self.server.streams.leave(self._joining[0], self._counted_as, self._address)
        self._joining = self._counted_as = None

    def asked(self) -> None:
        """Count a request of this session; those before it has joined are counted then."""
        stream = self.stream
        if stream is None:
            self._requests += 1
        else:
            stream.count(self._name, requests=1)

    def send(self, pkt: Any) -> None:
        """python-socketio's packets: replies to what the client sent."""
        self.reply(pkt.encode())

    def reply(self, packet: str) -> None:
        """Send a packet, from where the client's are read; raises ConnectionClosed, OSError, EngineIOError or
        UnacceptedFull."""
        if self._connection:
            self._connection.send(packet)
        else:
            self._queue(packet)

    def ping(self, now_s: float) -> None:
        """Ask for a pong, or close the session if the last one has not come. Never blocks."""
        if self._is_pinged:
            self.close()
            return
        # Before the ping leaves: its pong may be read before this goes on.
        self._is_pinged = True
        self.server.pinger.ping_in(self, self.server.ping_timeout)
        try:
            self._queue(PING)
        except (EngineIOError, UnacceptedFull):
            self.close()

    def _queue(self, packet: str) -> None:
        with self._lock:
            if self.closed:
                return
            self._queued_bytes += len(packet) + PACKET_BYTES
            if self._queued_bytes > MAX_QUEUED_BYTES:
                raise EngineIOError
            self._claim.hold(self._queued_bytes)
            self._packets.append(packet)
        self._waiter.nudge()

    def _take_packets(self) -> list[str]:
        if not self._packets:
            return []
        with self._lock:
            packets = list(self._packets)
            self._packets.clear()
            self._queued_bytes = 0
            self._claim.release()
        return packets

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self.closed or self._waiter.interrupted or self.server.streams.stopping

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
        batch = stream.batch(self._position, 0.0 if waits_not else wait_s, waiter)
        if self.stream is not stream or not (batch.news or self._first):
            return self._take_packets(), None
        self._first = False
        self._position = Position(True, batch.last_id)
        stream.count(self._name, notifications=batch.count)
        return self._take_packets(), batch

    def receive_text(self, packet: str) -> None:
        """A packet from the client; raises EngineIOError for what is none, and as `reply` does."""
        kind = packet[:1]
        if kind == MESSAGE:
            self.server.on_message(self, packet[1:])
        elif kind == PONG:
            self._take_pong()
        elif kind == CLOSE:
            self.close(reason=self.server.reason.CLIENT_DISCONNECT)
        elif kind != NOOP:
            raise EngineIOError

    def _take_pong(self) -> None:
        """The next ping is due an interval from now. A pong that nobody has asked for changes nothing."""
        if self._is_pinged:
            self._is_pinged = False
            self.server.pinger.ping_in(self, self.server.ping_interval)

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the session and give its place up. Whoever writes to the client finds it over."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._packets.clear()
            self._claim.release()
            self._count_out()
        self._waiter.interrupt()
        self.server.ended(self, reason or self.server.reason.TRANSPORT_CLOSE)

    # Polling

    def handle_get_request(self, environ: "WSGIEnvironment", start_response: object) -> Response:
        """The answer to a poll, or to an upgrade; raises EngineIOError."""
        if wants_websocket(environ):
            return self.server.upgrade(self, environ)
        self.asked()
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
        """Packets, then a batch, as the answer to a poll. It is never empty."""
        text = SEPARATOR.join(packets if packets or batch else [NOOP])
        head = (text + SEPARATOR if packets and batch else text).encode()
        size = len(head)
        pieces = iter((head,))
        if batch:
            size += len(BEFORE) + batch.size + len(AFTER)
            if batch.is_small:
                pieces = iter((head + batch.shared(event_packet),))
            else:
                pieces = _around(head + BEFORE, batch.chunks(), AFTER)
        return BatchResponse(
            self._written(pieces),
            headers=[
                ("Content-Type", "text/plain; charset=UTF-8"),
                ("Content-Length", str(size)),
                ("Cache-Control", "no-store"),
            ],
        )

    def _written(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Rule 3: whoever writes them asks for more only after it has written all."""
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
        body: bytes = environ[READ].data
        if body.count(SEPARATOR.encode()) >= MAX_PACKETS:
            raise EngineIOError
        turn = Turn()
        try:
            for packet in body.decode().split(SEPARATOR):
                if self.closed:
                    break
                self.receive_text(packet)
                turn.worked()
        except (ConnectionClosed, OSError, UnacceptedFull, UnicodeDecodeError):
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
                raise CloseWith(
                    PROTOCOL_ERROR, "This is no packet of Engine.IO 4 that could come here."
                ) from None

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
        with self._lock:
            if self.upgraded:
                raise EngineIOError
            self.upgraded = True
        self._waiter.nudge()
        with self._taking:
            self._connection = connection
        with self._lock:
            if self._joining and self._counted_as and not self.closed:
                self.server.streams.move(self._joining[0], self._counted_as, self._name)
                self._counted_as = self._name
        self.asked()

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


def _around(before: bytes, chunks: Iterable[bytes], after: bytes) -> Iterator[bytes]:
    yield before
    yield from chunks
    yield after
