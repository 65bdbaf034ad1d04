"""One request as ASGI tells it, and the WebSocket that it may become.

A large batch goes over a WebSocket as `PIECES` if the server can take it so: otherwise each slow reader would
hold a copy of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from servers.rules.engine_io import AFTER, BEFORE, around, event_size, event_text
from servers.rules.problems import MEDIA_TYPE, Problem
from servers.stream import Batch

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

REQUEST, BODY, ADDRESS = "wirelab.request", "wirelab.body", "wirelab.address"
"""Where python-engineio is handed a request of ours, its body, and whose share of the places it takes."""
PIECES = "wirelab.websocket.pieces"
"""An extension of ours, and its event: one text message of `size` bytes of UTF-8, given in `pieces`."""


class Answer(NamedTuple):
    """An answer by HTTP; its fields tell its length."""

    status: int
    fields: list[tuple[str, str]]
    pieces: Iterable[bytes]
    if_not_taken: Callable[[], None] | None = None
    """To be called if the client has not taken all of it."""


def short_answer(status: int, fields: list[tuple[str, str]], body: bytes) -> Answer:
    """An answer of one piece."""
    return Answer(status, [*fields, ("Content-Length", str(len(body)))], (body,))


def problem_answer(problem: Problem) -> Answer:
    """A problem as an answer."""
    fields = {"Content-Type": MEDIA_TYPE} | problem.fields()
    return short_answer(problem.status, list(fields.items()), problem.body())


class Request:
    """What is asked, and how to answer. `arguments` are the query's, each by its first value."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.is_websocket = scope["type"] == "websocket"
        self.method = "GET" if self.is_websocket else str(scope["method"])
        self.query = scope["query_string"].decode("latin-1")
        given = parse_qs(self.query, keep_blank_values=True)
        self.arguments = {name: values[0] for name, values in given.items()}

    def field(self, name: bytes) -> str | None:
        """A field's value, by its name in lower case; several are one list."""
        values = [value for each, value in self.scope["headers"] if each == name]
        return b",".join(values).decode("latin-1") if values else None

    async def until_gone(self) -> None:
        """Wait until the client has closed the connection."""
        while (await self.receive())["type"] == "http.request":
            pass

    async def answer(self, answer: Answer) -> None:
        """Answer by HTTP, also who asked for a WebSocket; raises OSError if the client has gone."""
        before = "websocket." if self.is_websocket else ""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.fields]
        start = {"type": f"{before}http.response.start", "status": answer.status, "headers": headers}
        body = f"{before}http.response.body"
        try:
            await self._send(start)
            pieces = iter(answer.pieces)
            piece = next(pieces)
            for following in pieces:
                await self._send({"type": body, "body": piece, "more_body": True})
                piece = following
            await self._send({"type": body, "body": piece, "more_body": False})
        except (OSError, asyncio.CancelledError):
            if answer.if_not_taken:
                answer.if_not_taken()
            raise

    # A WebSocket.

    async def accept(self) -> None:
        """Open the WebSocket; raises OSError if the client has gone."""
        if (await self.receive())["type"] != "websocket.connect":
            raise BrokenPipeError
        await self._send({"type": "websocket.accept"})

    async def message(self) -> str | bytes | None:
        """The client's next message; None if it has gone."""
        event = await self.receive()
        if event["type"] != "websocket.receive":
            return None
        text: str | None = event.get("text")
        return event.get("bytes") if text is None else text

    async def send_text(self, text: str) -> None:
        """Send a message; raises OSError if the client has gone."""
        await self._send({"type": "websocket.send", "text": text})

    async def send_batch(self, batch: Batch) -> None:
        """Send a batch as an event, which is encoded once for all if it is small."""
        if batch.is_small:
            await self.send_text(batch.shared(event_text))
            return
        pieces = around(BEFORE, batch.chunks(), AFTER)
        if PIECES in (self.scope.get("extensions") or {}):
            await self._send({"type": PIECES, "size": event_size(batch), "pieces": pieces})
        else:
            await self.send_text(b"".join(pieces).decode())

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket, unless it is closed."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
