"""One WebSocket connection on the server's side, in place of flask-sock's own.

It is simple-websocket's server with its reader thread, and these rules:
1. Every write is whole and alone: one lock a connection, and `send_whole`. (simple-websocket ignores the
   count that `socket.send` returns, and its reader writes pongs of its own accord.)
2. A message is handled where it is read, so a client that sends faster than it is served is slowed
   by TCP; nothing is queued here.
3. A batch that was encoded for everybody is written as it is: a server's frames carry no mask
   (RFC 6455, section 5.1), so all connections share its bytes.
4. The close frame says why (RFC 6455, section 7.4.1). Once a message or frame was refused, nothing more is
   looked at: what still comes in is dropped until the peer closes, `LINGER_S` at the most. (Closing with
   unread input would reset the connection, and the peer might never see the reason.)
5. permessage-deflate is agreed to only where the settings allow it: it costs CPU and memory that the
   other transports do not pay.
6. The socket is shut down here and closed by gunicorn, which counts its connections by it.
7. A peer that sends without pause takes turns with all others (`turns.py`), also once it was refused.
"""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from simple_websocket import ConnectionClosed, Server
from wsproto.connection import Connection as WebSocket
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

from servers import extensions
from servers.incoming import Incoming, LengthGate
from servers.process import LINGER_S
from servers.refusals import Refused
from servers.rules.frames import (
    BINARY,
    NORMAL_CLOSURE,
    PING_FRAME,
    TEXT,
    CloseWith,
    as_close,
    frame_header,
    message_late,
    short,
    text_frame,
)
from servers.rules.handshake import accept_token
from servers.settings import PONG_PATIENCE_S
from servers.stream import JOINED_BYTES, Batch
from servers.turns import Turn
from servers.unaccepted import Claim, Unaccepted

RECEIVE_BYTES = 16 * 1024
# A thousand times as much may come out of it.
RECEIVE_COMPRESSED_BYTES = 1024
# CPython keeps at most 30 attributes of an object where they are fast to read. simple-websocket has 20 of its
# own, so those of Connection are slots.
OWN_ATTRIBUTES = (
    "_below",
    "_closing",
    "_early",
    "_incoming",
    "_permessage_deflate",
    "_refusal",
    "_turn",
    "_unanswered_since_s",
    "_write_lock",
    "compressed",
    "on_end",
    "on_message",
)
# What is dropped needs no place of its own.
_dropped = bytearray(64 * 1024)


def _ignore(*_: object) -> None:
    """Nothing is to be done."""


def send_whole(sock: socket.socket, data: bytes) -> None:
    """Send all of it. What the kernel takes at once costs one system call, by the socket below gevent's: its
    `send` is written in Python, and its `sendall` has two."""
    try:
        sent = getattr(sock, "_sock", sock).send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        sent = 0
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


def linger(sock: socket.socket) -> None:
    """Say that we are done, give the peer time to take what was sent, and shut the connection down."""
    turn = Turn()
    try:
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER_S
        while (remaining := deadline - time.monotonic()) > 0:
            sock.settimeout(remaining)
            size = sock.recv_into(_dropped)
            if not size:
                break
            if size == len(_dropped):
                turn.worked()
            else:
                turn.waited()
    except OSError:
        pass
    _shut_down(sock)


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Connection(Server):  # type: ignore[misc]
    """A WebSocket connection that has been accepted.

    `listen` starts the reading; `on_message` gets each message whole, as str or bytes, in the reader's
    thread, and may raise CloseWith or Refused; `on_end` is called once, when the peer has gone or is going.
    """

    __slots__ = OWN_ATTRIBUTES

    def __init__(
        self,
        environ: dict[str, Any],
        max_message_bytes: int,
        message_timeout_s: float,
        permessage_deflate: bool,
        unaccepted: Unaccepted,
    ) -> None:
        self._write_lock = threading.Lock()
        self._permessage_deflate = permessage_deflate
        self._unanswered_since_s: float | None = None
        self._refusal: CloseWith | None = None
        self._closing = False
        self._incoming = Incoming(max_message_bytes, message_timeout_s, Claim(unaccepted))
        self._turn = Turn()
        self._early = _sent_early(environ)
        self.on_message: Callable[[str | bytes], None] = _ignore
        self.on_end: Callable[[], None] = _ignore
        super().__init__(environ, receive_bytes=RECEIVE_BYTES)

    def handshake(self) -> None:
        """Answer 101. `upgrade.py` has checked the request before."""
        headers = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_token(self.environ['HTTP_SEC_WEBSOCKET_KEY'])}",
        ]
        agreed = None
        if self._permessage_deflate:
            offers = extensions.parse_offers(self.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""))
            agreed = extensions.agree(offers, self._incoming)
        if agreed:
            headers.append(f"Sec-WebSocket-Extensions: {agreed[1]}")
            self.receive_bytes = RECEIVE_COMPRESSED_BYTES
        self.compressed = agreed is not None
        gate = LengthGate(self._incoming)
        self.ws = WebSocket(ConnectionType.SERVER, [gate, agreed[0]] if agreed else [gate])
        # gevent's socket would wait; the socket below it answers at once.
        self._below: Any = getattr(self.sock, "_sock", self.sock)
        try:
            self.sock.sendall("\r\n".join([*headers, "", ""]).encode())
        except OSError:
            # The client has gone already, as the reader will see.
            pass
        self.connected = True

    def lower_message_limit(self, max_bytes: int, limit: str) -> None:
        """Refuse what is longer before it is read; `limit` says why. To be called before `listen`."""
        self._incoming.lower(max_bytes, limit)

    def listen(self, on_message: Callable[[str | bytes], None], on_end: Callable[[], None]) -> None:
        """Begin to read. Until now the reader has waited, so that no message comes before its handler."""
        self.on_message = on_message
        self.on_end = on_end
        self.event.set()

    def send(self, data: str | bytes) -> None:
        """Send one message; raises ConnectionClosed, or OSError if the peer takes nothing."""
        if self.compressed:
            self._send_event(Message(data=data))
            return
        first_byte, body = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
        header = frame_header(first_byte, len(body))
        with self._write_lock:
            self._refuse_unless_open()
            if len(body) <= JOINED_BYTES:
                send_whole(self.sock, header + body)
            else:
                send_whole(self.sock, header)
                send_whole(self.sock, body)

    def send_batch(
        self,
        batch: Batch,
        frame: Callable[[Batch], bytes] = text_frame,
        before: bytes = b"",
        after: bytes = b"",
    ) -> None:
        """Send a batch as one text message, whose bytes are everybody's; raises as `send` does.

        `before` and `after` go around it in the message; `frame` makes the frame of all of that.
        """
        if self.compressed:
            self.send((before + b"".join(batch.chunks()) + after).decode())
            return
        with self._write_lock:
            # As in `_refuse_unless_open`, without a call for each delivery.
            if self.ws.state is not ConnectionState.OPEN or not self.connected:
                raise ConnectionClosed(self.close_reason, self.close_message)
            if batch.is_small:
                send_whole(self.sock, batch.shared(frame))
                return
            send_whole(self.sock, frame_header(TEXT, len(before) + batch.size + len(after)) + before)
            for chunk in batch.chunks():
                send_whole(self.sock, chunk)
            if after:
                send_whole(self.sock, after)

    def _refuse_unless_open(self) -> None:
        if self.ws.state is not ConnectionState.OPEN or not self.connected:
            raise ConnectionClosed(self.close_reason, self.close_message)

    def _send_event(self, event: Any) -> None:
        with self._write_lock:
            try:
                frame = self.ws.send(event)
            except LocalProtocolError:
                raise ConnectionClosed(self.close_reason, self.close_message) from None
            send_whole(self.sock, frame)

    def ping(self, now_s: float) -> None:
        """Send a ping; close the connection instead if earlier pings have gone unanswered for
        PONG_PATIENCE_S, by the pinger's clock, or if a large message does not come whole. Never blocks.

        An interval may be shorter than what a busy server, or the way there and back, takes for a pong.

        While a write is under way the kernel watches the peer (TCP_USER_TIMEOUT), and a ping would
        have to wait its turn behind it.
        """
        if not self._write_lock.acquire(blocking=False):
            return
        try:
            before_s = self._unanswered_since_s
            if self._incoming.is_late(now_s):
                # The reader sees an end, and the view tells the reason.
                self._refusal = message_late(self._incoming.timeout_s)
                self._below.shutdown(socket.SHUT_RD)
            elif before_s is not None and now_s - before_s >= PONG_PATIENCE_S:
                self.sock.shutdown(socket.SHUT_RDWR)
            elif self.ws.state is ConnectionState.OPEN:
                # Before the ping leaves: on threads its pong may have been read before this goes on.
                self._unanswered_since_s = now_s if before_s is None else before_s
                try:
                    self._below.send(PING_FRAME, socket.MSG_DONTWAIT)
                except OSError:
                    self._unanswered_since_s = before_s
        except OSError:
            pass
        finally:
            self._write_lock.release()

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Send a close frame, unless one was sent, and wait for the connection to end.

        If a message was refused, the frame gives that reason.
        """
        if self._closing:
            return
        self._closing = True
        if self._refusal:
            reason, message = self._refusal.code, self._refusal.reason
        try:
            self._send_event(CloseConnection(reason or NORMAL_CLOSURE, message and short(message).decode()))
        except (ConnectionClosed, OSError):
            pass
        if self.connected:
            self.thread.join(LINGER_S)
        if self._refusal:
            linger(self.sock)
        self.connected = False
        _shut_down(self.sock)
        self.event.set()
        self.thread.join()

    def _thread(self) -> None:
        self.event.wait()
        try:
            while self.connected and not self._refusal:
                received = self._receive()
                if not received:
                    break
                self.ws.receive_data(received)
                for event in self.ws.events():
                    self._handle(event)
                    self._turn.worked()
        except (CloseWith, Refused) as error:
            # The view closes the connection, after it has delivered what was accepted before.
            self._refusal = as_close(error)
        except (OSError, ConnectionClosed, LocalProtocolError):
            pass
        finally:
            if not self._refusal:
                self.connected = False
            self.on_end()
            self._free()

    def _free(self) -> None:
        """Give back what was not accepted, and undo the circles: the garbage collector comes rarely."""
        self._incoming.clear()
        self.on_message, self.on_end = _ignore, _ignore
        # wsproto's parser is a generator that holds on to what it is part of, and to what it has read.
        self.ws._proto._parse_more.close()

    def _receive(self) -> bytes:
        """What the peer has sent. Until it sends more, it has no part in who is served first."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            received: bytes = self._below.recv(self.receive_bytes, socket.MSG_DONTWAIT)
        except BlockingIOError:
            received = self.sock.recv(self.receive_bytes)
            self._turn.waited()
        return received

    def _handle(self, event: Any) -> None:
        if isinstance(event, CloseConnection):
            self._handle_close(event)
        elif self.ws.state is not ConnectionState.OPEN:
            # After our close frame nothing that comes in matters but the peer's (section 7.1.6).
            return
        elif isinstance(event, Ping):
            self._send_event(event.response())
        elif isinstance(event, Pong):
            self._unanswered_since_s = None
        elif isinstance(event, TextMessage | BytesMessage):
            is_text = isinstance(event, TextMessage)
            message = self._incoming.add(event.data, event.message_finished, is_text)
            if message is not None:
                self.on_message(message)
                self._incoming.handled()

    def _handle_close(self, event: CloseConnection) -> None:
        if self.ws.state is ConnectionState.OPEN:
            # Not the peer's close frame but wsproto's word that what came breaks the protocol.
            raise CloseWith(event.code, event.reason or "")
        self.close_reason, self.close_message = event.code, event.reason
        if self.ws.state is ConnectionState.REMOTE_CLOSING:
            self._send_event(event.response())
        self.connected = False


def _sent_early(environ: dict[str, Any]) -> bytes:
    """Frames that came with the handshake. A client should have waited (RFC 6455, section 4.1), but gunicorn
    has read them, and they would be lost without a word."""
    body = getattr(environ.get("wsgi.input"), "reader", None)
    unreader = getattr(body, "unreader", None)
    return bytes(unreader.read()) if unreader is not None and unreader.buf.tell() else b""
