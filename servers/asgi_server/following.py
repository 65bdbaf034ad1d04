"""Who waits for news of a stream: a held poll, or who follows it by what stays open.

Rules:
1. Who waits has seen all that there is, and is told the next batch by an event (`events.py`).
2. While a batch is being written to a slow peer, nothing is kept for it: it reads the log at its own cursor
   then.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from servers.asgi_server.events import COMMENT_DUE, HEARTBEAT_DUE, Client
from servers.heartbeat import Heartbeat
from servers.stream import Batch, Position, Stream

if TYPE_CHECKING:
    from servers.asgi_server.application import Application
    from servers.asgi_server.exchange import Exchange


class Held:
    """Who has a place and waits."""

    __slots__ = ("client", "is_waiting", "stream")

    def __init__(self, client: Client, stream: Stream) -> None:
        self.client = client
        self.stream = stream
        self.is_waiting = False


class Follower(Held):
    """Who is written one batch after another, by `write`."""

    __slots__ = ("_app", "_transport", "heartbeat", "last_id", "nudged", "owes_comment", "write")

    def __init__(
        self,
        app: "Application",
        client: Client,
        stream: Stream,
        transport: str,
        write: Callable[[Batch], Awaitable[None]],
    ) -> None:
        super().__init__(client, stream)
        self._app = app
        self._transport = transport
        self.write = write
        self.last_id = 0
        self.heartbeat: Heartbeat | None = None
        self.nudged = False
        self.owes_comment = False

    async def send(self, batch: Batch) -> None:
        """Write a batch, which is the next."""
        self.last_id = batch.last_id
        self.stream.count(self._transport, notifications=batch.count)
        await self.write(batch)
        if self.heartbeat:
            self.heartbeat.sent()

    def has_seen_all(self) -> bool:
        """Wait for more, if the last batch was the last that there is."""
        if not self.is_waiting:
            self._app.deliver()
            fan = self._app.fan(self.stream)
            if fan.last_id != self.last_id:
                return False
            fan.polls[self] = None
            self.is_waiting = True
        return True

    async def catch_up(self) -> None:
        """Send what was published since the last batch, and wait for more."""
        self._app.deliver()
        while not self.has_seen_all():
            await self.send(self.stream.batch(Position(True, self.last_id)))

    async def take(self, batch: Batch) -> None:
        """Send what was told, unless it was caught up on meanwhile."""
        if batch.last_id > self.last_id:
            await self.send(batch)

    async def beat(self) -> None:
        """Send an empty batch, if a heartbeat is due still."""
        if self.nudged:
            await self.catch_up()
            if self.nudged:
                await self.send(self.stream.batch(Position(True, self.last_id)))

    def nudge(self) -> None:
        """A heartbeat is due."""
        if not self.nudged:
            self.nudged = True
            self.client.tell({"type": HEARTBEAT_DUE})

    def ping(self, now_s: float) -> None:
        """A comment is due."""
        if not self.owes_comment:
            self.owes_comment = True
            self.client.tell({"type": COMMENT_DUE})


@contextmanager
def following(
    exchange: "Exchange",
    stream: Stream,
    transport: str,
    heartbeat_s: int | None,
    write: Callable[[Batch], Awaitable[None]],
) -> Iterator[Follower]:
    """A place for who follows a stream. Raises SubscribersFull or StreamsFull."""
    app = exchange.app
    address = app.address_of(exchange)
    app.streams.enter(stream, transport, address)
    stream.count(transport, requests=1)
    follower = Follower(app, exchange.client, stream, transport, write)
    if heartbeat_s:
        follower.heartbeat = app.heartbeats.watch(follower, heartbeat_s)
    try:
        yield follower
    finally:
        app.leave(follower)
        app.streams.leave(stream, transport, address)
        if follower.heartbeat:
            follower.heartbeat.ended = True
