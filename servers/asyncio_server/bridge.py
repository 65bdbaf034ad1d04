"""Runs an ASGI application for some addresses: each of its requests, and each WebSocket, by a task.

Rules:
1. A connection serves nothing else until the application has answered. Then its next request is begun.
2. Whoever sends waits until the socket has taken all; if the client has gone, that raises OSError.
3. A message of a WebSocket is read when the application asks for it, so TCP slows a client that sends faster.
4. A text that is sent to many is put into a frame once: it is known by being the same object.
5. The application counts its own subscribers, pings them, and ends its own WebSockets.
"""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from servers.asyncio_server.bodies import Body
from servers.asyncio_server.connection import Connection, Held
from servers.asyncio_server.requests import Request
from servers.asyncio_server.websocket import WebSocket
from servers.rules import frames
from servers.rules.frames import CloseWith, TextFrames, frame_header
from servers.rules.heads import END
from servers.rules.problems import SERVER_FAILED, Problem
from servers.socketio_asgi.application import Application
from servers.socketio_asgi.requests import PIECES
from servers.stream import Batch

if TYPE_CHECKING:
    from servers.asyncio_server.server import Server

EXTENSIONS: dict[str, dict[str, Any]] = {"websocket.http.response": {}, PIECES: {}}
VERSION = {"version": "3.0", "spec_version": "2.5"}
DISCONNECTED = {"type": "http.disconnect"}
CLOSED = {"type": "websocket.disconnect", "code": 1006, "reason": ""}


class Bridge:
    """Hands requests to the application."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.frames = TextFrames()

    def answer(self, connection: Connection, request: Request, body: Body | None = None) -> None:
        """Let the application answer a request."""
        Exchange(self, connection, request, body).begin()

    def answer_upgrade(self, connection: Connection, request: Request) -> None:
        """Let the application answer who asks for a WebSocket, and whose handshake is good."""
        Upgrade(self, connection, request, None).begin()


class Exchange(Held):
    """One request, until the application has answered."""

    __slots__ = (
        "_answer",
        "_body",
        "_bridge",
        "_connection",
        "_departed",
        "_is_answered",
        "_is_done",
        "_is_lost",
        "_is_told",
        "_request",
        "_room",
        "_task",
    )

    def __init__(self, bridge: Bridge, connection: Connection, request: Request, body: Body | None) -> None:
        self._bridge = bridge
        self._connection = connection
        self._request = request
        self._body = body
        self._departed = asyncio.Event()
        self._room = asyncio.Event()
        self._is_lost = False
        self._is_told = False
        """Whether the application has been told what is asked."""
        self._answer: dict[str, Any] | None = None
        """The start of an answer that is not written yet."""
        self._is_answered = False
        """Whether the start is written."""
        self._is_done = False
        """Whether all of it is, or the connection has become a WebSocket."""
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the application."""
        self._connection.hold(self)
        self._task = self._connection.server.loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._bridge.application(self._scope(), self.receive, self.send)
            if not self._is_done:
                raise RuntimeError("The application has not answered.")
        except OSError:
            # The client has gone, which is no news.
            self._connection.transport.abort()
        except Exception:  # noqa: BLE001  (told to the client, and in the log)
            self._connection.server.log_failure("The application failed.")
            self._fail()
        finally:
            self._take_body()

    def _fail(self) -> None:
        connection = self._connection
        if self._is_answered:
            if not self._is_done:
                connection.transport.abort()
        elif not self._is_lost:
            connection.answer_problem(self._request, Problem(500, SERVER_FAILED))
            connection.answer_piece(b"")
            connection.answered()

    def _scope(self) -> dict[str, Any]:
        line, named = self._request.line, self._request.fields.named
        if self._request.host is not None:
            named = named | {"host": self._request.host}
        return {
            "type": "http",
            "asgi": VERSION,
            "http_version": f"1.{min(line.minor, 1)}",
            "method": line.method,
            "scheme": "http",
            "path": line.path,
            "raw_path": line.target.partition("?")[0].encode(),
            "query_string": line.target.partition("?")[2].encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()],
            "client": _address(self._connection.transport.get_extra_info("peername")),
            "server": _address(self._connection.transport.get_extra_info("sockname")),
            "extensions": EXTENSIONS,
        }

    async def receive(self) -> dict[str, Any]:
        """ASGI's."""
        if not self._is_told:
            self._is_told = True
            return {"type": "http.request", "body": self._take_body(), "more_body": False}
        await self._departed.wait()
        return DISCONNECTED

    def _take_body(self) -> bytes:
        """From now on the application keeps it, and counts it."""
        body, self._body = self._body, None
        if body is None:
            return b""
        body.claim.release()
        return body.whole()

    async def send(self, event: dict[str, Any]) -> None:
        """ASGI's."""
        connection = self._connection
        # What the application has published for this request.
        connection.server.deliver()
        if self._is_lost:
            raise BrokenPipeError
        kind = event["type"].removeprefix("websocket.")
        if kind == "http.response.start":
            self._answer = event
            return
        piece, has_more = event.get("body", b""), event.get("more_body", False)
        if self._answer is not None:
            answer, self._answer = self._answer, None
            self._is_answered = True
            told, head = _head(answer["headers"])
            connection.answer(
                self._request, answer["status"], head + piece, told, closes=self._departed.is_set()
            )
            piece = b""
        connection.answer_piece(piece)
        await self._until_written()
        if not has_more:
            self._is_done = True
            connection.answered()

    async def _until_written(self) -> None:
        while self._connection.is_writing and not self._is_lost:
            self._room.clear()
            await self._room.wait()
        if self._is_lost:
            raise BrokenPipeError

    def written(self) -> None:
        self._room.set()

    def depart(self) -> None:
        self._departed.set()

    def abandon(self) -> None:
        self._is_lost = True
        self._departed.set()
        self._room.set()


def _address(name: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """A socket's name as ASGI has it: a host and a port."""
    return name[:2] if name else None


def _head(headers: list[tuple[bytes, bytes]]) -> tuple[str | None, bytes]:
    """What Connection is told, and the other fields as bytes."""
    told = None
    lines = []
    for name, value in headers:
        if name == b"connection":
            told = value.decode()
        else:
            lines.append(b"%b: %b" % (name, value))
    return told, b"\r\n".join(lines) + END


class Upgrade(Exchange):
    """Who asks for a WebSocket, and the WebSocket if there is one."""

    __slots__ = ("_websocket",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._websocket: ApplicationSocket | None = None

    def _scope(self) -> dict[str, Any]:
        scope = super()._scope() | {"type": "websocket", "scheme": "ws", "subprotocols": []}
        del scope["method"]
        return scope

    async def receive(self) -> dict[str, Any]:
        if self._websocket is not None:
            return await self._websocket.receive()
        if not self._is_told:
            self._is_told = True
            return {"type": "websocket.connect"}
        await self._departed.wait()
        return CLOSED

    async def send(self, event: dict[str, Any]) -> None:
        if self._websocket is not None:
            await self._websocket.take(event)
        elif event["type"] != "websocket.accept":
            await super().send(event)
        elif self._departed.is_set():
            raise BrokenPipeError
        else:
            connection = self._connection
            self._is_answered = self._is_done = True
            self._websocket = ApplicationSocket(connection.server, self._bridge, self._task)
            self._websocket.open_on(connection, self._request)

    def _fail(self) -> None:
        if self._websocket is None:
            super()._fail()
        else:
            self._connection.transport.abort()


class ApplicationSocket(WebSocket):
    """A WebSocket whose messages an application takes."""

    __slots__ = ("_bridge", "_came", "_is_asked", "_is_left", "_message", "_room", "_task")

    def __init__(self, server: "Server", bridge: Bridge, task: Any) -> None:
        super().__init__(server, None)
        self._bridge = bridge
        self._task = task
        """The application's; it lasts as long as this."""
        self._message: str | bytes | None = None
        """The next that the application gets."""
        self._is_asked = False
        """Whether the application waits for a message."""
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._is_left = False
        """Whether nothing can be sent or taken any more."""

    def begin(self, transport: Any, answer: bytes, batch: Batch | None) -> None:
        self.take_over(transport)
        transport.set_protocol(self)
        transport.write(answer)

    def go_away(self) -> None:
        """See rule 5."""

    def leave(self) -> None:
        self._is_left = True
        self._came.set()
        self._room.set()

    @property
    def _is_busy(self) -> bool:
        return self.is_writing or not self._is_asked

    def _handle_message(self, message: str | bytes) -> None:
        self._message = message
        self._is_asked = False
        self._came.set()

    async def receive(self) -> dict[str, Any]:
        """ASGI's. The message that was got before is done with."""
        if not self._is_asked and not self._is_left:
            self._messages.incoming.handled()
            self._is_asked = True
            self._read()
        while self._message is None:
            if self._is_left:
                return CLOSED
            self._came.clear()
            await self._came.wait()
        message, self._message = self._message, None
        # What the application publishes for it, whatever it waits for then.
        self.server.loop.call_soon(self.server.deliver)
        kind = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", kind: message}

    async def take(self, event: dict[str, Any]) -> None:
        """ASGI's `send`."""
        if event["type"] == "websocket.close":
            if not self._is_left:
                self.end(CloseWith(event["code"], event["reason"]))
            return
        await self._until_written()
        if event["type"] == PIECES:
            self.write_chunks(_with_header(event))
        else:
            self.transport.write(self._bridge.frames.of(event["text"]))
        await self._until_written()

    async def _until_written(self) -> None:
        while self.is_writing and not self._is_left:
            self._room.clear()
            await self._room.wait()
        if self._is_left:
            raise BrokenPipeError

    def written(self) -> None:
        self._room.set()
        super().written()


def _with_header(event: dict[str, Any]) -> Iterator[bytes]:
    yield frame_header(frames.TEXT, event["size"])
    yield from event["pieces"]
