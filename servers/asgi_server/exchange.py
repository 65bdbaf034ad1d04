"""One request, as its handler sees it: ASGI's scope, `receive` and `send`, and how answers are written."""

import io
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from servers.asgi_server.events import EXTENSION, Client, Event
from servers.rules.bodies import incomplete, too_large
from servers.rules.problems import MEDIA_TYPE, Problem
from servers.stream import Batch
from servers.unaccepted import Claim

if TYPE_CHECKING:
    from servers.asgi_server.application import Application

Headers = Iterable[tuple[bytes, bytes]]


def headers_of(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Fields as ASGI takes them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]


def sized(size: int) -> tuple[bytes, bytes]:
    return b"Content-Length", b"%d" % size


@lru_cache(maxsize=1024)
def batch_headers(size: int) -> tuple[tuple[bytes, bytes], ...]:
    """Of an answer that is a batch of so many bytes."""
    return (b"Content-Type", b"application/json"), sized(size), (b"Cache-Control", b"no-store")


def problem_headers(problem: Problem, connection: str | None) -> Headers:
    """Of an answer that is a problem; `connection` goes before what it says itself of Connection."""
    fields = {"Content-Type": MEDIA_TYPE} | problem.fields()
    if connection is not None:
        fields["Connection"] = connection
    return [*headers_of(fields), sized(len(problem.body()))]


class Exchange:
    """See above."""

    __slots__ = ("app", "client", "receive", "request", "scope", "send")

    def __init__(
        self,
        app: "Application",
        scope: Event,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Event], Awaitable[None]],
    ) -> None:
        self.app = app
        self.scope = scope
        self.client: Client = scope["extensions"][EXTENSION]
        self.request = self.client.asked
        self.receive = receive
        self.send = send

    def values(self, name: str) -> list[str]:
        """An argument's values."""
        return self.request.line.arguments.get(name) or []

    def says_end(self, ends: bool = False) -> bool:
        """Whether the connection ends with the answer; if so, gunicorn says it."""
        if ends or self.request.closes or self.app.streams.stopping or self.request.leaves_body:
            self.client.end_after()
            return True
        return False

    async def start(self, status: int, headers: Headers, ends: bool = False) -> None:
        """Begin an answer."""
        self.says_end(ends)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, more: bool = True) -> None:
        """A piece of its body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, status: int, headers: Headers, body: bytes = b"", ends: bool = False) -> None:
        """Answer with this body."""
        await self.start(status, headers, ends)
        await self.write(b"" if self.request.line.method == "HEAD" else body, more=False)

    async def answer_with(self, status: int, fields: dict[str, str], body: bytes) -> None:
        """The same, with the body's length."""
        await self.answer(status, [*headers_of(fields), sized(len(body))], body)

    async def answer_batch(self, batch: Batch, ends: bool = False) -> None:
        """Answer with a batch."""
        if batch.is_small or self.request.line.method == "HEAD":
            await self.answer(200, batch_headers(batch.size), batch.body if batch.is_small else b"", ends)
            return
        await self.start(200, batch_headers(batch.size), ends)
        for chunk in batch.chunks():
            await self.write(chunk)
        await self.write(b"", more=False)

    async def answer_problem(self, problem: Problem) -> None:
        told = problem.fields().get("Connection")
        ends = self.says_end(told == "close")
        if ends and told not in (None, "close"):
            told = f"{told}, close"
        await self.answer(problem.status, problem_headers(problem, told), problem.body())

    async def refuse_upgrade(self, problem: Problem) -> None:
        """Answer a handshake with a problem; its connection ends."""
        told = dict(problem.more).get("Connection")
        headers = problem_headers(problem, f"{told}, close" if told else "close")
        await self.send(
            {"type": "websocket.http.response.start", "status": problem.status, "headers": headers}
        )
        await self.send({"type": "websocket.http.response.body", "body": problem.body()})

    async def body(self) -> tuple[bytes, Claim]:
        """The request's body, and what it counts for until it is dealt with.

        Raises BodyTooLarge, BodyIncomplete or UnacceptedFull.
        """
        settings, fields = self.app.settings, self.request.fields
        most, limit = settings.max_body_bytes, settings.body_limit
        length = None if fields.is_chunked else fields.length
        claim = Claim(self.app.unaccepted)
        if length is not None:
            if length > most:
                raise too_large(most, limit)
            claim.refuse_length(length)
        self.request.is_read = True
        kept = io.BytesIO()
        size = 0
        turn = self.app.turns.turn()
        is_whole = False
        try:
            while not is_whole:
                event = await self.receive()
                if event["type"] != "http.request":
                    raise incomplete(size, length)
                is_whole = not event["more_body"]
                size += len(event["body"])
                if size > most:
                    raise too_large(most, limit)
                claim.hold(size)
                if is_whole and size == len(event["body"]):
                    return event["body"], claim
                kept.write(event["body"])
                await turn.worked()
        except BaseException:
            self.request.is_read = is_whole
            claim.release()
            raise
        return kept.getvalue(), claim

    async def drop_body(self) -> None:
        """Read what nobody wanted, so that the next request is found. It is short."""
        if self.request.has_body and not self.request.is_read and not self.request.leaves_body:
            while (await self.receive()).get("more_body"):
                pass
            self.request.is_read = True

    async def event(self) -> Event:
        """What the handler is told, once the body was read: news, or that the client has gone."""
        while (event := await self.receive())["type"] == "http.request":
            pass
        return event  # type: ignore[no-any-return]

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for a WebSocket that follows no stream. Raises SubscribersFull."""
        address = self.app.address_of(self)
        self.app.streams.enter(None, "", address)
        try:
            with self.app.pinger.watching(self.client):
                yield
        finally:
            self.app.streams.leave(None, "", address)
