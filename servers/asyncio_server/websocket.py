"""One WebSocket (RFC 6455): a subscriber of a stream, an echo, or the greeting's.

Rules, beside those of `following.py`:
1. A message is handled where it is read, and nothing is read while the socket is full: a client that sends
   faster than it is served is slowed by TCP.
2. The close frame says why. What was accepted before the end is delivered first. Then the peer has LINGER_S
   to close; what it still sends is dropped. (Closing with unread input would reset the connection, and the
   peer might never see the reason.)
3. A large message is never interrupted by a control frame.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from servers.asyncio_server.following import Follower, Form
from servers.asyncio_server.messages import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    Messages,
    close_reason,
)
from servers.incoming import Incoming
from servers.process import LINGER_S
from servers.refusals import Refused
from servers.rules import frames, handshake
from servers.rules.frames import GOING_AWAY, CloseWith, as_close, frame_header, short, text_frame
from servers.settings import PONG_PATIENCE_S
from servers.stream import Batch, Stream
from servers.unaccepted import FREE_BYTES, Claim

if TYPE_CHECKING:
    from servers.asyncio_server.connection import Connection
    from servers.asyncio_server.requests import Request
    from servers.asyncio_server.server import Server

CLOSE_FRAME, PONG_FRAME = 0x88, 0x8A


def message_pieces(batch: Batch) -> Iterator[bytes]:
    """A large batch as one text message."""
    yield frame_header(frames.TEXT, batch.size)
    yield from batch.chunks()


MESSAGES = Form("websocket", text_frame, message_pieces)


class WebSocket(Follower):
    """An open one. `on_message` gets each message whole; it may raise CloseWith or Refused."""

    __slots__ = (
        "_ending",
        "_is_closed",
        "_is_dropping",
        "_is_in_line",
        "_linger",
        "_message_is_held",
        "_messages",
        "_unanswered_since_s",
        "on_message",
    )

    def __init__(self, server: "Server", address: str | None, stream: Stream | None = None) -> None:
        super().__init__(server, MESSAGES, address, stream)
        settings, unaccepted = server.settings, server.unaccepted
        self._messages = Messages(
            Incoming(settings.max_body_bytes, settings.request_timeout_s, Claim(unaccepted)), unaccepted
        )
        self.on_message: Callable[[str | bytes], None] | None = None
        self._message_is_held = False
        self._unanswered_since_s: float | None = None
        self._ending: CloseWith | None = None
        self._is_closed = False
        """Whether our close frame is on its way."""
        self._is_dropping = False
        self._is_in_line = False
        """Whether it reads on when others had their turn, and not before."""
        self._linger: Any = None

    def open_on(self, connection: "Connection", request: "Request", batch: Batch | None = None) -> None:
        """Accept the handshake, and take the connection over."""
        token = handshake.accept_token(request.fields.named["sec-websocket-key"])
        answered = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {token}\r\n\r\n"
        )
        early = connection.leave_to(self)
        self.begin(connection.transport, answered.encode(), batch)
        if early:
            # A client should wait for the answer (section 4.1); what came before is served all the same.
            self.data_received(early)

    # What goes out.

    def send(self, message: str | bytes) -> None:
        """Send one message."""
        first_byte, body = (
            (frames.TEXT, message.encode()) if isinstance(message, str) else (frames.BINARY, message)
        )
        header = frame_header(first_byte, len(body))
        if len(body) <= FREE_BYTES:
            self.transport.write(header + body)
        else:
            self.write_chunks(iter((header, body)))

    def pause_writing(self) -> None:
        super().pause_writing()
        self.read_no_more()

    def written(self) -> None:
        """All is sent that the socket had not taken."""
        if self._message_is_held:
            self._message_is_held = False
            self._messages.incoming.handled()
        if self._ending is not None:
            self._finish()
            return
        self.catch_up()
        if not self.is_writing:
            self._read()

    def ping(self, now_s: float) -> None:
        """As `connection.py` on the other server models. While a write is under way the kernel watches."""
        if self.is_writing or self.transport.is_closing():
            return
        before_s = self._unanswered_since_s
        incoming = self._messages.incoming
        if incoming.is_late(now_s):
            self.end(frames.message_late(incoming.timeout_s))
        elif before_s is not None and now_s - before_s >= PONG_PATIENCE_S:
            self.transport.abort()
        elif not self._is_closed:
            self._unanswered_since_s = now_s if before_s is None else before_s
            self.transport.write(frames.PING_FRAME)

    # What comes in.

    @property
    def _is_busy(self) -> bool:
        """Whether nothing more can be handled now."""
        return self.is_writing

    def data_received(self, data: bytes) -> None:
        if not self._is_dropping:
            self._messages.add(data)
            self._read()

    def _takes_more(self) -> bool:
        return not self._is_busy and not self._is_dropping

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
            self.end(as_close(error))
        except Exception:  # noqa: BLE001  (told in the log)
            self.server.log_failure("A WebSocket failed.")
            self.transport.abort()
        if self.server.woken:
            self.server.deliver()
        if self._is_busy:
            self.read_no_more()
        elif is_over and not self._is_dropping:
            self.read_no_more()
            self._is_in_line = True
            self.server.turns.later(self._read_in_turn)
        else:
            self.read_again()

    def _handle(self, opcode: int, data: Any) -> None:
        if opcode == CLOSE:
            self._handle_close(data)
        elif self._is_closed:
            # After our close frame nothing that comes in matters but the peer's (section 7.1.6).
            return
        elif opcode == PING:
            self.transport.write(frame_header(PONG_FRAME, len(data)) + data)
        elif opcode == PONG:
            self._unanswered_since_s = None
        else:
            self._handle_message(bytes(data) if opcode == BINARY else data)

    def _handle_message(self, message: str | bytes) -> None:
        if self.on_message:
            self.on_message(message)
        if self.is_writing:
            self._message_is_held = True
        else:
            self._messages.incoming.handled()

    def _handle_close(self, payload: bytes) -> None:
        code, reason = close_reason(payload)
        if not self._is_closed:
            self.leave()
            self._is_closed = True
            told = b"" if code is None else code.to_bytes(2, "big") + reason
            self.transport.write(frame_header(CLOSE_FRAME, len(told)) + told)
        self._drop_the_rest()

    def eof_received(self) -> bool:
        """The peer has gone."""
        return False

    # The end.

    def go_away(self) -> None:
        """The server stops."""
        self.end(CloseWith(GOING_AWAY, ""))

    def end(self, why: CloseWith) -> None:
        """Close, once what was accepted before is delivered."""
        if self._ending is not None or self._is_closed:
            return
        self._ending = why
        # What goes on coming is not looked at, but after a goodbye the peer's own.
        if why.code != GOING_AWAY:
            self._messages.clear()
            self._is_dropping = True
        self.server.deliver()
        self._finish()

    def _finish(self) -> None:
        if self.is_writing:
            return
        self.catch_up()
        if self.is_writing or self._is_closed or self._ending is None:
            return
        self.leave()
        self._is_closed = True
        code, reason = self._ending.code, short(self._ending.reason)
        self.transport.write(frame_header(CLOSE_FRAME, 2 + len(reason)) + code.to_bytes(2, "big") + reason)
        if self._is_dropping:
            self._drop_the_rest()
        else:
            self._wait_for_peer()
            self.read_again()

    def _drop_the_rest(self) -> None:
        """Say that we are done, and give the peer time to take what was sent."""
        self._is_dropping = True
        self._messages.clear()
        if not self.transport.is_closing():
            self.transport.write_eof()
            self._wait_for_peer()
            self.read_again()

    def _wait_for_peer(self) -> None:
        if self._linger is None:
            self._linger = self.server.loop.call_later(LINGER_S, self.transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_dropping = True
        self._chunks = None
        self.leave()
        self._messages.clear()
        self.on_message = None
        if self._linger is not None:
            self._linger.cancel()
        self.server.forget(self)
