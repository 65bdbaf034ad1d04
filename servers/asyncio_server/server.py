"""The server: what all its connections share, its clocks, and its end.

Rules of the end, as in `servers/ending.py`: at SIGTERM no connection is accepted any more; held polls are
answered, WebSockets are closed with 1001; for a second answers tell `Connection: close`; then what is open
and unused is cut, and after three seconds everything.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from servers.addresses import Addresses
from servers.asyncio_server.answers import Starts
from servers.asyncio_server.bridge import Bridge
from servers.asyncio_server.connection import Connection, Poll
from servers.asyncio_server.deadlines import Deadlines
from servers.asyncio_server.fan import Fans, shared_answer
from servers.asyncio_server.following import Follower
from servers.asyncio_server.requests import REMEMBERED, REMEMBERED_BYTES, Request
from servers.asyncio_server.turns import Turns
from servers.asyncio_server.writing import Writing
from servers.heartbeat import TICK_S, Heartbeats
from servers.patience import Patience
from servers.pinger import Pinger
from servers.process import BACKLOG, GONE, GOODBYE_S, GRACEFUL_S, KEEPALIVE_S
from servers.rules.hosts import Hosts
from servers.settings import Settings
from servers.socketio_asgi.application import Application
from servers.stream import Batch, Position, Streams
from servers.unaccepted import Unaccepted

LOOK_S = 1.0
# A process that ends by itself is gone before anybody ends it.
END_S = GRACEFUL_S - 0.25


class LoopPinger(Pinger):
    """Ticks on the loop."""

    def __init__(self, interval_s: float, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(interval_s)
        self._loop = loop
        self._before_s = 0.0

    def _start(self) -> None:
        self._before_s = time.monotonic()
        self._loop.call_later(self._tick_s, self._go_on)

    def _go_on(self) -> None:
        self._loop.call_later(self._tick_s, self._go_on)
        now_s = time.monotonic()
        self.tick(now_s - self._before_s)
        self._before_s = now_s


class LoopHeartbeats(Heartbeats):
    """Ticks on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def _start(self) -> None:
        self._loop.call_later(TICK_S, self._go_on)

    def _go_on(self) -> None:
        self._loop.call_later(TICK_S, self._go_on)
        self.tick(time.monotonic())


class Server(Fans):
    """One server on one event loop. Whoever has published delivers before his turn ends."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, most_connections: int) -> None:
        super().__init__([], self.answer_polls)
        self.settings = settings
        self.loop = loop
        self.bound = ""
        """The address that it listens on."""
        self.streams = Streams(settings)
        self.unaccepted = Unaccepted(settings.max_unaccepted_bytes)
        self.hosts = Hosts(settings)
        self.starts = Starts()
        self.turns = Turns(loop)
        self.pinger = LoopPinger(settings.ping_interval_s, loop)
        self.bridge = Bridge(Application(self.streams, self.pinger, self.unaccepted, self.turns))
        self.deadlines = Deadlines(loop, self.end_poll)
        self.heartbeats = LoopHeartbeats(loop)
        self.patience = Patience(
            settings.request_timeout_s, KEEPALIVE_S, most_connections, most_bodies=most_connections
        )
        self.known: dict[bytes, Request] = {}
        """Plain requests by all of their bytes: those who wait at one cursor often ask with the same."""
        self._addresses = Addresses(settings.trusted_proxy)
        self._connections: set[Writing] = set()
        self._to_cut: list[tuple[float, Connection]] = []
        self.now_s = time.monotonic()
        """The time, to the second."""
        self._listener: Any = None
        self._ended = asyncio.Event()

    async def begin(self, listener: Any) -> None:
        """Accept connections on this socket."""
        self.bound = listener.getsockname()[0]
        self._listener = await self.loop.create_server(
            lambda: Connection(self), sock=listener, backlog=BACKLOG
        )
        self.loop.call_later(LOOK_S, self._look)

    async def ended(self) -> None:
        """Wait for `stop`, and then until all has ended."""
        await self._ended.wait()

    def _look(self) -> None:
        self.now_s = time.monotonic()
        self.patience.cut_late()
        for connection in self._idle():
            if self.now_s - connection.idle_since_s > KEEPALIVE_S:
                connection.refuse("")
        self.loop.call_later(LOOK_S, self._look)

    # Connections.

    def add(self, connection: Writing) -> None:
        self._connections.add(connection)
        if len(self._connections) > self.patience.most_connections and not self.patience.cut_longest():
            self._cut_longest_idle()

    def _idle(self) -> list[Connection]:
        """Connections that wait for their next request."""
        return [each for each in self._connections if isinstance(each, Connection) and each.is_idle]

    def _cut_longest_idle(self) -> None:
        """Those that are idle are looked through once, and again when all that were found are cut or busy."""
        if not self._to_cut:
            found = [(each.idle_since_s, each) for each in self._idle()]
            self._to_cut = sorted(found, key=itemgetter(0), reverse=True)
        while self._to_cut:
            since_s, connection = self._to_cut.pop()
            if connection.is_idle and connection.idle_since_s == since_s:
                connection.refuse("")
                return

    def replace(self, before: Writing, after: Writing) -> None:
        self._connections.discard(before)
        self._connections.add(after)

    def forget(self, connection: Writing) -> None:
        self._connections.discard(connection)
        if self.streams.stopping and not self._connections:
            self._ended.set()

    def peer_of(self, transport: Any) -> tuple[str, str | None]:
        """The address of the other side, and whose share it takes."""
        name = transport.get_extra_info("peername")
        peer = sys.intern(name[0]) if name else ""
        return peer, self._addresses.share_of(peer, "")

    def address_of(self, connection: Connection, request: Request) -> str | None:
        """Whose share a subscriber takes."""
        if not self.settings.trusted_proxy:
            return connection.share
        return self._addresses.share_of(connection.peer, request.fields.named.get("x-forwarded-for", ""))

    def remember(self, sent: bytes, request: Request) -> None:
        """Whoever sends the same asks for the same."""
        if len(sent) <= REMEMBERED_BYTES:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            self.known[sent] = request

    # Held polls.

    def answer_polls(self, polls: Iterable[Poll], batch: Batch) -> None:
        """All of them have waited on one stream, and get the same."""
        answer = self.starts.start(200, "keep-alive") + shared_answer(batch) if batch.is_small else None
        if self.streams.stopping:
            answer = None
        addresses: list[str | None] = []
        for poll in polls:
            stream = poll.stream
            addresses.append(poll.address)
            self.deadlines.remove(poll, poll.wait_s)
            poll.connection.answer_poll(poll, batch, answer)
        stream.count("long-poll", requests=len(addresses), notifications=batch.count * len(addresses))
        self.streams.leave(stream, "long-poll", *addresses)

    def end_poll(self, poll: Poll) -> None:
        """Answer a held poll with what there is."""
        self.deliver()
        if self.abandon(poll, is_answered=True):
            batch = poll.stream.batch(Position(True, poll.stream.head_id))
            self.answer_polls([poll], batch)

    def abandon(self, poll: Poll, is_answered: bool = False) -> bool:
        """Take a held poll out of its fan. False if it was answered meanwhile."""
        fan = poll.fan
        if fan is None or poll not in fan.polls:
            return False
        del fan.polls[poll]
        self.drop_if_empty(fan)
        if not is_answered:
            self.deadlines.remove(poll, poll.wait_s)
            self.streams.leave(poll.stream, "long-poll", poll.address)
        return True

    # The end.

    def log_failure(self, sentence: str) -> None:
        """Call it where an exception is handled."""
        logging.getLogger("wirelab").exception(sentence)

    def on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What fails outside our own code. Clients go away: no news, and no traceback."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in GONE):
            loop.default_exception_handler(context)

    def _cut_all(self) -> None:
        """Nobody is waited for any more."""
        self.patience.cut_all()
        for connection in self._idle():
            connection.refuse("")

    def stop(self) -> None:
        """Begin the end; whatever comes of it, it is over in time."""
        if self.streams.stopping:
            return
        self._listener.close()
        self.streams.stop()
        self.deliver()
        for connection in list(self._connections):
            if isinstance(connection, Follower):
                connection.go_away()
        self.loop.call_later(GOODBYE_S, self._cut_all)
        self.loop.call_later(END_S, self._ended.set)
        if not self._connections:
            self._ended.set()
