"""gunicorn's WebSocket, with what ASGI cannot say.

Rules:
1. A handshake is judged by the application alone, which may refuse it with an answer of its own.
2. Frames are read where they come, a slice at a time, and no further while a write is under way or the
   application has as much as it may keep. A peer that answers no ping is cut.
3. The close frame says why. What was accepted before it is handled and delivered first: the application sees
   the end, whoever brings it, as a disconnect behind the messages.
4. At the server's end that disconnect is 1001.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.websocket import WebSocketDisconnected, WebSocketProtocol

from servers.asgi_server.events import EXTENSION, Event
from servers.asgi_server.exchange import problem_headers
from servers.asyncio_server.messages import BINARY, CLOSE, PING, PONG, Messages, close_reason
from servers.asyncio_server.requests import Request
from servers.incoming import Incoming
from servers.process import LINGER_S
from servers.refusals import Refused
from servers.rules import frames
from servers.rules.frames import GOING_AWAY, CloseWith, as_close, frame_header, short
from servers.rules.problems import SERVER_FAILED, Problem
from servers.settings import PONG_PATIENCE_S
from servers.socketio_asgi.requests import PIECES
from servers.unaccepted import FREE_BYTES, Claim

if TYPE_CHECKING:
    from servers.asgi_server.worker import Connection

QUEUED_BYTES = 512
"""What a message in the application's queue takes at the least."""
NO_STATUS, ABNORMAL, INTERNAL_ERROR = 1005, 1006, 1011
CLOSE_FRAME, PONG_FRAME = 0x80 | CLOSE, 0x80 | PONG


class WebSocket(WebSocketProtocol):  # type: ignore[misc]
    """One WebSocket (RFC 6455) and its handshake."""

    _close_sent: bool

    def __init__(self, connection: "Connection", scope: Event) -> None:
        super().__init__(connection.transport, scope, connection.app, connection.log)
        # Not used here, and as large as all the rest.
        self._receive_queue = self._queue_space = self._data_event = None
        self._events: deque[Event] = deque()
        """What `receive` is to give."""
        self._waiter: asyncio.Future[None] | None = None
        scope["extensions"] = {EXTENSION: self, "websocket.http.response": {}}
        self.connection = connection
        self.peer = connection.peer
        assert connection._asked is not None
        self.asked: Request = connection._asked
        app = connection.worker.asgi
        settings = app.settings
        self._app = app
        self._flow = connection._flow_control
        self._messages = Messages(
            Incoming(settings.max_body_bytes, settings.request_timeout_s, Claim(app.unaccepted)),
            app.unaccepted,
        )
        self._queued = 0
        """What the application was given and has not handled."""
        self._turn = app.turns.turn()
        """The application's."""
        self._is_sending = False
        self._is_dropping = False
        self._is_in_line = False
        """Whether it reads on when others had their turn, and not before."""
        self._unanswered_since_s: float | None = None
        self._why: CloseWith | None = None
        """Why it ends, if it is not the application that ends it."""
        self._refusal: tuple[int, Any, bytes] = (0, (), b"")

    # The application's side.

    @property
    def is_gone(self) -> bool:
        return bool(self.closed)

    def tell(self, event: Event) -> None:
        self._events.append(event)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def end_after(self) -> None:
        """A refused handshake ends its connection."""

    async def run(self) -> None:
        """gunicorn's, without a task for what comes in."""
        worker = self.connection.worker
        self.tell({"type": "websocket.connect"})
        failed = False
        try:
            await self.app(self.scope, self._receive, self._send)
        except WebSocketDisconnected:
            # The client has gone.
            pass
        except Exception:
            failed = True
            self.log.exception("A WebSocket failed.")
        finally:
            worker.websockets.pop(self, None)
            # It holds this one.
            del self.scope["extensions"]
        if not self.accepted:
            self._deny(*((500, "") if failed else (403, "")))
        else:
            await self._end(CloseWith(INTERNAL_ERROR, SERVER_FAILED if failed else ""))
        self._drop()

    async def _receive(self) -> Event:
        if self._queued and not self._events:
            self._queued = 0
            self._messages.incoming.handled()
            await self._turn.worked()
            self._read()
        while not self._events:
            self._waiter = self.connection.worker.loop.create_future()
            await self._waiter
            if self._queued:
                self._turn.waited()
        return self._events.popleft()

    async def _send(self, message: Event) -> None:
        kind = message["type"]
        if kind == "websocket.send":
            text = message.get("text")
            if text is None:
                body = message["bytes"]
                await self._write((frame_header(frames.BINARY, len(body)), body))
            elif self._is_sending or self._flow.write_paused or self.closed or self._close_sent:
                await self._write((self._app.frames.of(text),))
            else:
                self.transport.write(self._app.frames.of(text))
        elif kind == PIECES:
            await self._write(chain((frame_header(frames.TEXT, message["size"]),), message["pieces"]))
        elif kind == "websocket.close" and self.accepted:
            await self._end(CloseWith(message.get("code", frames.NORMAL_CLOSURE), message.get("reason", "")))
        elif kind == "websocket.accept":
            await super()._send(message)
            self.connection.worker.websockets[self] = None
            if self._app.streams.stopping:
                self.go_away()
            self._read()
        elif kind == "websocket.http.response.start":
            self._refusal = message["status"], message["headers"], b""
        elif kind == "websocket.http.response.body":
            status, headers, body = self._refusal
            self._refusal = status, headers, body + message["body"]
            if not message.get("more_body"):
                self._denied = True
                self.connection.write_answer(*self._refusal)
        else:
            await super()._send(message)

    async def _write(self, pieces: Iterable[bytes]) -> None:
        if self.closed or self._close_sent:
            raise WebSocketDisconnected("the WebSocket is closed")
        if self._flow.write_paused:
            await self._drained()
        self._is_sending = True
        try:
            for piece in pieces:
                self.transport.write(piece)
                if self._flow.write_paused:
                    await self._drained()
        finally:
            self._is_sending = False
        if self._messages.unread:
            self._read()

    async def _drained(self) -> None:
        await self._flow.drain()
        if self.closed:
            raise WebSocketDisconnected("the WebSocket is closed")

    def _deny(self, status: int, reason: str) -> None:
        """The application has neither accepted nor refused."""
        if not self._denied:
            self._denied = True
            problem = Problem(status, SERVER_FAILED if status >= 500 else "This WebSocket was refused.")
            self.connection.write_answer(status, problem_headers(problem, "close"), problem.body())

    # What comes in.

    def feed_data(self, data: bytes) -> None:
        if not self._is_dropping:
            self._messages.add(data)
            self._read()

    def go_on(self) -> None:
        """The socket has room again."""
        if not self._is_sending:
            self._read()

    def _takes_more(self) -> bool:
        return (
            self.accepted
            and self._queued <= FREE_BYTES
            and not self._is_dropping
            and not self._is_sending
            and not self._flow.write_paused
        )

    def _read_in_turn(self) -> None:
        self._is_in_line = False
        self._read()

    def _read(self) -> None:
        """Handle what has come, for a slice."""
        if self._is_in_line:
            return
        is_over = False
        try:
            is_over = self._messages.read(self._takes_more, self._handle)
        except (CloseWith, Refused) as error:
            self._leave(as_close(error))
        if is_over and not self._is_dropping:
            self._pause_reading()
            self._is_in_line = True
            self._app.turns.later(self._read_in_turn)
        elif self._is_dropping or self._takes_more():
            self._resume_reading()
        elif not self._reading_paused:
            self._pause_reading()

    def _handle(self, opcode: int, data: Any) -> None:
        if opcode == CLOSE:
            code, reason = close_reason(data)
            self._close_received = True
            self._close_event.set()
            self._leave(CloseWith(NO_STATUS if code is None else code, reason.decode()))
            self._drop()
        elif self._why is not None or self._close_sent:
            # Nothing that comes in matters any more but the peer's close frame (RFC 6455, section 7.1.6).
            return
        elif opcode == PING:
            self.transport.write(frame_header(PONG_FRAME, len(data)) + data)
        elif opcode == PONG:
            self._unanswered_since_s = None
        else:
            self._queued += max(len(data), QUEUED_BYTES)
            content = {"bytes": bytes(data)} if opcode == BINARY else {"text": data}
            self.tell({"type": "websocket.receive", **content})

    def ping(self, now_s: float) -> None:
        """As `connection.py` on the other server models. While a write is under way the kernel watches."""
        if self._is_sending or self._flow.write_paused or self.transport.is_closing():
            return
        before_s = self._unanswered_since_s
        incoming = self._messages.incoming
        if incoming.is_late(now_s):
            self._leave(frames.message_late(incoming.timeout_s))
        elif before_s is not None and now_s - before_s >= PONG_PATIENCE_S:
            self.transport.abort()
        elif not self._close_sent:
            self._unanswered_since_s = now_s if before_s is None else before_s
            self.transport.write(frames.PING_FRAME)

    # The end.

    def go_away(self) -> None:
        """The server stops."""
        self._leave(CloseWith(GOING_AWAY, ""))

    def _leave(self, why: CloseWith) -> None:
        """Let the application see the end, once it has handled what came before."""
        if self._why is None:
            self._why = why
            self.tell({"type": "websocket.disconnect", "code": why.code, "reason": why.reason})
        if why.code != GOING_AWAY:
            self._drop()

    def _drop(self) -> None:
        """What goes on coming is not looked at."""
        self._is_dropping = True
        self._messages.clear()
        self._resume_reading()

    def end_of_input(self) -> bool:
        """The peer will send nothing more. Whether it is still to be told why the connection ends."""
        if self._why is not None and not self._close_sent:
            return True
        self.feed_eof()
        return False

    def feed_eof(self) -> None:
        """The connection is lost."""
        self.closed = True
        self._close_event.set()
        self._leave(CloseWith(ABNORMAL, ""))

    async def _end(self, why: CloseWith) -> None:
        """Send the close frame, and wait for the peer's after a goodbye."""
        if self._close_sent or self.closed:
            return
        self._close_sent = True
        why = self._why or why
        reason = short(why.reason)
        payload = b"" if why.code == NO_STATUS else why.code.to_bytes(2, "big") + reason
        self.transport.write(frame_header(CLOSE_FRAME, len(payload)) + payload)
        if why.code != GOING_AWAY:
            self._drop()
            return
        self._read()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._close_event.wait(), LINGER_S)
