"""Who follows a stream by what stays open: a WebSocket, or an event stream.

Rules:
1. A follower waits in the fan of its stream (`fan.py`) while its socket has taken all; else it reads the log
   at its own cursor as soon as the socket has room.
2. How a batch looks on the wire is a `Form`: a small one is put into it once for all who follow by it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from servers.asyncio_server.writing import Writing
from servers.heartbeat import Heartbeat
from servers.stream import Batch, Position, Stream

if TYPE_CHECKING:
    from servers.asyncio_server.server import Server


class Form(NamedTuple):
    """How batches are written by one transport."""

    transport: str
    small: Callable[[Batch], bytes]
    """A small batch, whole."""
    large: Callable[[Batch], Iterator[bytes]]
    """A large one, in pieces of the log's own bytes."""


class Follower(Writing, ABC):
    """One subscriber, once it has a place. Without a stream it holds a place and follows nothing."""

    __slots__ = (
        "_address",
        "_is_in_fan",
        "_place_is_taken",
        "form",
        "heartbeat",
        "last_id",
        "nudged",
        "server",
        "stream",
    )

    def __init__(self, server: "Server", form: Form, address: str | None, stream: Stream | None) -> None:
        super().__init__()
        self.server = server
        self.form = form
        self.stream = stream
        self.heartbeat: Heartbeat | None = None
        self.nudged = False
        self.last_id = 0
        self._address = address
        self._place_is_taken = True
        self._is_in_fan = False

    def begin(self, transport: Any, answer: bytes, batch: Batch | None) -> None:
        """Write the answer and, if there is a stream, the first batch with it."""
        self.take_over(transport)
        transport.set_protocol(self)
        self.server.pinger.watch(self)
        if batch is None:
            transport.write(answer)
            return
        self.last_id = batch.last_id
        self._count(batch)
        if batch.is_small:
            transport.write(answer + batch.shared(self.form.small))
        else:
            transport.write(answer)
            self.send_batch(batch)
        self.catch_up()

    def send_batch(self, batch: Batch) -> None:
        """Write a batch, whose bytes are everybody's."""
        if batch.is_small:
            self.transport.write(batch.shared(self.form.small))
        else:
            self.write_chunks(self.form.large(batch))

    def catch_up(self) -> None:
        """Send what was published since the last batch, and wait for more in the fan."""
        stream = self.stream
        if stream is None or self._is_in_fan or not self._place_is_taken:
            return
        self.server.deliver()
        while not self.is_writing and not self.transport.is_closing():
            batch = stream.batch(Position(True, self.last_id))
            if not batch.news:
                self.server.fan(stream).enter(self)
                self._is_in_fan = True
                return
            self.last_id = batch.last_id
            self._count(batch)
            self.send_batch(batch)
            if self.heartbeat:
                self.heartbeat.sent()

    def _count(self, batch: Batch) -> None:
        assert self.stream
        self.stream.count(self.form.transport, notifications=batch.count)

    def _leave_fan(self) -> None:
        if self._is_in_fan:
            assert self.stream
            self._is_in_fan = False
            fan = self.server.fan(self.stream)
            self.last_id = fan.last_id
            fan.leave(self)
            self.server.drop_if_empty(fan)

    def pause_writing(self) -> None:
        self.is_full = True
        self._leave_fan()

    def nudge(self) -> None:
        """Send an empty batch, by which a browser sees that the server is there."""
        self.nudged = True
        self.server.deliver()
        if self._is_in_fan and self.nudged and self.stream and self.heartbeat:
            self.send_batch(self.stream.batch(Position(True, self.server.fan(self.stream).last_id)))
            self.heartbeat.sent()

    @abstractmethod
    def ping(self, now_s: float) -> None:
        """Show the peer, and what is between, that the connection is used."""

    @abstractmethod
    def go_away(self) -> None:
        """The server stops: say so, once what was accepted before is delivered."""

    def leave(self) -> None:
        """Give the place up."""
        self._leave_fan()
        if self._place_is_taken:
            self._place_is_taken = False
            transport = self.form.transport if self.stream else ""
            self.server.streams.leave(self.stream, transport, self._address)
            self.server.pinger.forget(self)
            if self.heartbeat:
                self.heartbeat.ended = True
