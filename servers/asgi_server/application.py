"""The ASGI application: what all requests of one server share, and its end.

`servers.asgi_server.application:app()` is what gunicorn is told to serve, on `AsgiWorker`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from servers.addresses import Addresses
from servers.asgi_server.events import NEWS, OVER, Event
from servers.asgi_server.exchange import Exchange
from servers.asgi_server.following import Held
from servers.asgi_server.routes import answer, answer_upgrade, find
from servers.asyncio_server.deadlines import Deadlines
from servers.asyncio_server.fan import Fan, Fans
from servers.asyncio_server.server import LoopHeartbeats, LoopPinger
from servers.asyncio_server.turns import Turns
from servers.names import is_loopback
from servers.refusals import Refused
from servers.rules import problems
from servers.rules.frames import TextFrames
from servers.rules.hosts import Hosts
from servers.settings import Settings, from_environ
from servers.socketio_asgi.application import Application as SocketIO
from servers.stream import Batch, Streams
from servers.unaccepted import Unaccepted


class Application(Fans):
    """One server's. `begin` comes before the first request."""

    loop: asyncio.AbstractEventLoop
    turns: Turns
    deadlines: Deadlines
    pinger: LoopPinger
    heartbeats: LoopHeartbeats
    socketio: SocketIO
    bound: str
    """The address that it listens on."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(_Woken(self._wake), self._tell)
        self.settings = settings
        self.streams = Streams(settings)
        self.unaccepted = Unaccepted(settings.max_unaccepted_bytes)
        self.hosts = Hosts(settings)
        self._addresses = Addresses(settings.trusted_proxy)
        self.frames = TextFrames()

    def begin(self, loop: asyncio.AbstractEventLoop, bound: list[str]) -> None:
        """Serve on this loop, at these addresses."""
        self.loop = loop
        self.bound = next((each for each in bound if not is_loopback(each)), bound[0])
        self.turns = Turns(loop)
        self.deadlines = Deadlines(loop, lambda held: held.client.tell({"type": OVER}))
        self.pinger = LoopPinger(self.settings.ping_interval_s, loop)
        self.heartbeats = LoopHeartbeats(loop)
        self.socketio = SocketIO(self.streams, self.pinger, self.unaccepted, self.turns)

    async def __call__(
        self,
        scope: Event,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        """ASGI's."""
        exchange = Exchange(self, scope, receive, send)
        is_upgrade = scope["type"] == "websocket"
        try:
            refused = await (answer_upgrade if is_upgrade else answer)(exchange)
        except Refused as error:
            refused = problems.of(error)
        if refused is not None:
            await (exchange.refuse_upgrade if is_upgrade else exchange.answer_problem)(refused)
        await exchange.drop_body()

    def upgrades(self, path: str) -> bool:
        """Whether there is a WebSocket at this address."""
        route, _ = find(path)
        return route is not None and route.upgrade is not None

    def address_of(self, exchange: Exchange) -> str | None:
        """Whose share a subscriber takes."""
        return self._addresses.share_of(
            exchange.client.peer, exchange.request.fields.named.get("x-forwarded-for", "")
        )

    # Who waits for news.

    def leave(self, held: Held) -> None:
        """Wait there no longer."""
        fan = self._fans.get(held.stream)
        if fan is not None and held in fan.polls:
            del fan.polls[held]
            self.drop_if_empty(fan)

    def _wake(self) -> None:
        """Several notifications of one turn of the loop are one batch."""
        self.loop.call_soon(self.deliver)

    def _tell(self, waiting: Iterable[Held], batch: Batch) -> None:
        event = {"type": NEWS, "batch": batch}
        for held in waiting:
            held.is_waiting = False
            held.client.tell(event)

    def stop(self) -> None:
        """The server stops: held polls are answered, event streams end."""
        self.streams.stop()
        self.deliver()


class _Woken(list[Fan]):
    """Fans with something to look at; the first of them has it looked at soon."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake_once = wake

    def append(self, fan: Fan) -> None:
        super().append(fan)
        if len(self) == 1:
            self._wake_once()


def app() -> Application:
    """The application that gunicorn serves, with settings from the environment."""
    return Application(from_environ())
