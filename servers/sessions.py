"""The sessions of Engine.IO 4, whoever waits for them: threads, greenlets or asyncio's tasks.

Rules:
1. A session that does not answer a ping within `patience_s` is closed then, and not at the next ping.
2. Until it has joined a stream, a session takes no subscriber's place. So there are few such sessions beside
   the free places; the oldest of them makes way, and each has `JOIN_TIMEOUT_S`.
3. The server sends no CLOSE packet: clients take it for the last word, and would not come back.
4. A session has no queue of notifications. Whoever writes to the client (the held poll, who serves the
   WebSocket) asks the stream for the next batch once all else has been written. A batch's packet is encoded
   once for all.
5. What does wait (acknowledgements for the next poll, pings) counts among all that is not accepted yet
   (`unaccepted.py`), and has a bound besides.
6. If a connection ends before the answer has come, browsers ask again by themselves, and nobody is told. What
   the first answer held would be missing. The client stamps each of its polls: one with the stamp of the last
   ends the session, and the client begins another from its cursor.

Nothing here waits.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from engineio.exceptions import EngineIOError

from servers.pinger import Pinger
from servers.rules.engine_io import (
    CLOSE,
    JOIN_TIMEOUT_S,
    MAX_QUEUED_BYTES,
    MAX_UNJOINED,
    MAX_UPGRADES,
    MESSAGE,
    NOOP,
    ON_POLLING,
    ON_WEBSOCKET,
    PACKET_BYTES,
    PING,
    PONG,
    opening,
    stamp_of,
)
from servers.stream import Batch, Position, Stream, Streams, Waiter
from servers.unaccepted import Claim, Unaccepted, UnacceptedFull


class BaseSession:
    """One client's session: whether it has joined, and what waits for it."""

    def __init__(
        self, server: "Sessions", sid: str, environ: dict[str, Any], address: str | None, waiter: Waiter
    ) -> None:
        self.server = server
        self.sid = sid
        self.environ = environ
        """What its first request told of its client, as WSGI does."""
        self.connected = False
        self.upgrading = False
        self.upgraded = False
        """Whether it is on a WebSocket."""
        self.closed = False
        self.stream: Stream | None = None
        self._address = address
        self._waiter = waiter
        self._requests = 0
        self._stamp: str | None = None
        self._joining: tuple[Stream, Position] | None = None
        self._position = Position(True, 0)
        self._first = True
        self._is_pinged = False
        """Whether a pong is waited for."""
        self._counted_as: str | None = None
        self._packets: deque[str] = deque()
        self._queued_bytes = 0
        self._claim = Claim(server.unaccepted)
        self._lock = threading.Lock()

    @property
    def _name(self) -> str:
        return ON_WEBSOCKET if self.upgraded else ON_POLLING

    def join(self, stream: Stream, position: Position) -> None:
        """Take a subscriber's place; raises SubscribersFull or StreamsFull."""
        with self._lock:
            if not self.closed:
                self.server.streams.enter(stream, self._name, self._address)
                self._counted_as = self._name
                self._joining = stream, position
        self.server.unjoined.remove(self)

    @property
    def has_joined(self) -> bool:
        """Whether it has a subscriber's place."""
        return self._joining is not None

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

    def refuse_repeated(self, query: str) -> None:
        """Raises EngineIOError for a poll that the browser itself has sent again (rule 6)."""
        stamp = stamp_of(query)
        if stamp is not None and stamp == self._stamp:
            raise EngineIOError
        self._stamp = stamp

    def reply(self, packet: str) -> None:
        """Send a packet, from where the client's are read; raises EngineIOError or UnacceptedFull."""
        self._queue(packet)

    def ping(self, now_s: float) -> None:
        """Ask for a pong, or close the session if the last one has not come. Never blocks."""
        if self._is_pinged:
            self.close()
            return
        # Before the ping leaves: its pong may be read before this goes on.
        self._is_pinged = True
        self.server.pinger.ping_in(self, self.server.ping_timeout)
        self.tell(PING)

    def tell(self, packet: str) -> None:
        """Send a packet unasked, or close the session if it has left too many unread. Never blocks."""
        try:
            self._queue(packet)
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

    def _taken(self, stream: Stream | None, batch: Batch | None) -> tuple[list[str], Batch | None]:
        """What is to be written now that this batch was got from that stream: packets, then the batch."""
        if batch is None or self.stream is not stream or not (batch.news or self._first):
            return self._take_packets(), None
        assert stream
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

    def _leave_polling(self) -> None:
        """Let no further poll be answered, for a WebSocket; raises EngineIOError if another was faster."""
        with self._lock:
            if self.upgraded:
                raise EngineIOError
            self.upgraded = True
        self._waiter.nudge()

    def _count_moved(self) -> None:
        """It is on the WebSocket from now on."""
        with self._lock:
            if self._joining and self._counted_as and not self.closed:
                self.server.streams.move(self._joining[0], self._counted_as, self._name)
                self._counted_as = self._name
        self.asked()

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


class JoinTimeout:
    """Ends a session that has joined no stream when its time is up; it is timed as pings are."""

    def __init__(self, session: BaseSession) -> None:
        self._session = session

    def ping(self, now_s: float) -> None:
        self._session.close()


class Unjoined:
    """The sessions that have joined no stream, the oldest first. Each has `JOIN_TIMEOUT_S`."""

    def __init__(self, pinger: Pinger) -> None:
        self._pinger = pinger
        self._timeouts: dict[BaseSession, JoinTimeout] = {}
        self._lock = threading.Lock()

    def add(self, session: BaseSession) -> None:
        """Who is among them already gains no time by it."""
        with self._lock:
            if session not in self._timeouts:
                timeout = self._timeouts[session] = JoinTimeout(session)
                self._pinger.watch(timeout)
                self._pinger.ping_in(timeout, JOIN_TIMEOUT_S)
        if session.closed:
            # Perhaps it was removed before it was added.
            self.remove(session)

    def remove(self, session: BaseSession) -> None:
        """It has joined, or is closed."""
        with self._lock:
            timeout = self._timeouts.pop(session, None)
            if timeout:
                self._pinger.forget(timeout)

    def superfluous(self, most: int) -> BaseSession | None:
        """The one that must make way, if there are more than so many."""
        with self._lock:
            return next(iter(self._timeouts)) if len(self._timeouts) > most else None


class Sessions:
    """All sessions of one server. Comes before one of python-engineio's server classes."""

    sockets: dict[str, Any]
    handlers: dict[str, Callable[..., Any]]
    ping_interval: float
    ping_timeout: float
    max_http_buffer_size: int
    reason: Any
    on_message: Callable[[BaseSession, str], None]

    def __init__(self, streams: Streams, pinger: Pinger, unaccepted: Unaccepted) -> None:
        self.streams = streams
        self.pinger = pinger
        self.unaccepted = unaccepted
        self.unjoined = Unjoined(pinger)
        self._upgrading = 0
        self._lock = threading.Lock()

    def create_queue(self, *_: object, **__: object) -> None:
        """None: a session of ours has its own."""

    def _log_error_once(self, message: str, message_key: str) -> None:
        """Nothing: the client is told, and clients go wrong every day."""

    def open(self, session: BaseSession, transport: str) -> str:
        """Let a session begin. Returns its first packet."""
        self.sockets[session.sid] = session
        self.handlers["connect"](session.sid, session.environ)
        self.pinger.watch(session)
        self.unjoined.add(session)
        superfluous = self.unjoined.superfluous(self._places + MAX_UNJOINED)
        if superfluous:
            superfluous.close()
        session.asked()
        upgrades = [] if transport == "websocket" else ["websocket"]
        return opening(
            session.sid, upgrades, self.ping_interval, self.ping_timeout, self.max_http_buffer_size
        )

    def may_upgrade(self, session: BaseSession) -> bool:
        """Whether the session's upgrade is under way now, until `upgrade_ended`."""
        with self._lock:
            if session.upgrading or self._upgrading >= self._places + MAX_UPGRADES:
                return False
            session.upgrading = True
            self._upgrading += 1
            return True

    def upgrade_ended(self, session: BaseSession) -> None:
        """An upgrade is no longer under way, whether it succeeded or not."""
        with self._lock:
            if session.upgrading:
                session.upgrading = False
                self._upgrading -= 1

    @property
    def _places(self) -> int:
        return self.streams.settings.max_subscribers - self.streams.subscribers

    def ended(self, session: BaseSession, reason: str) -> None:
        """A session's word that it is closed."""
        self.pinger.forget(session)
        self.unjoined.remove(session)
        self.sockets.pop(session.sid, None)
        self.handlers["disconnect"](session.sid, reason)
