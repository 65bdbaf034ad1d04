"""One WebSocket connection on the server's side, in place of flask-sock's own.

It is simple-websocket's server with its reader thread, and these rules:
1. Every write is whole and alone: one lock a connection, and `send_whole`. (simple-websocket ignores the
   count that `socket.send` returns, and its reader writes pongs of its own accord.)
2. A message is handled where it is read, so a client that sends faster than it is served is slowed
   by TCP; nothing is queued here.
3. A batch that was encoded for everybody is written as it is: a server's frames carry no mask
   (RFC 6455, section 5.1), so all connections share its bytes.
4. The close frame says why (RFC 6455, section 7.4.1). After it, what still comes in is read and
   dropped until the peer closes, `LINGER_S` at the most: closing with unread input would reset the
   connection, and the peer might never see the reason.
5. permessage-deflate is agreed to only where the settings allow it: it costs CPU and memory that the
   other transports do not pay.
6. The socket is shut down here and closed by gunicorn, which counts its connections by it.
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
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, generate_accept_token, split_comma_header

from servers.settings import PONG_PATIENCE_S
from servers.stream import Batch

GOING_AWAY = CloseReason.GOING_AWAY
LINGER_S = 2.0
RECEIVE_BYTES = 16 * 1024
MAX_REASON_BYTES = 123
PING_FRAME = b"\x89\x00"


class CloseWith(Exception):
    """A message handler raises this to close the connection with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def text_frame(body: bytes) -> bytes:
    """An unmasked, unfragmented text frame (RFC 6455, section 5.2)."""
    return text_header(len(body)) + body


def text_header(size: int) -> bytes:
    """What goes before a text of so many bytes."""
    if size < 126:
        return b"\x81%c" % size
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big")
    return b"\x81\x7f" + size.to_bytes(8, "big")


def send_whole(sock: socket.socket, data: bytes) -> None:
    """Send all of it. What the kernel takes at once costs one system call: gevent's sendall has two."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


def linger(sock: socket.socket, seconds: float = LINGER_S) -> None:
    """Say that we are done, give the peer time to take what was sent, and shut the connection down."""
    try:
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            sock.settimeout(remaining)
            if not sock.recv(RECEIVE_BYTES):
                break
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
    thread, and may raise CloseWith; `on_end` is called once, when the peer has gone or is going.
    """

    def __init__(self, environ: dict[str, Any], max_message_bytes: int, permessage_deflate: bool) -> None:
        self._write_lock = threading.Lock()
        self._permessage_deflate = permessage_deflate
        self._unanswered_since_s: float | None = None
        self._refusal: CloseWith | None = None
        self._parts: list[Any] = []
        self.incoming_message_len = 0
        self.on_message: Callable[[str | bytes], None] = lambda message: None
        self.on_end: Callable[[], None] = lambda: None
        super().__init__(environ, receive_bytes=RECEIVE_BYTES, max_message_size=max_message_bytes)

    def handshake(self) -> None:
        """Answer 101. `upgrade.py` has checked the request before."""
        headers = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {self._accept_token()}",
        ]
        extensions = []
        if self._permessage_deflate:
            for offer in split_comma_header(self.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "").encode()):
                extension = PerMessageDeflate()
                if offer.split(";")[0].strip() != extension.name:
                    continue
                accepted = extension.accept(offer)
                if isinstance(accepted, str):
                    extensions = [extension]
                    agreed = f"{extension.name}; {accepted}" if accepted else extension.name
                    headers.append(f"Sec-WebSocket-Extensions: {agreed}")
                    break
        self.compressed = bool(extensions)
        self.ws = WebSocket(ConnectionType.SERVER, extensions)
        try:
            self.sock.sendall("\r\n".join([*headers, "", ""]).encode())
        except OSError:
            # The client has gone already, as the reader will see.
            pass
        self.connected = True

    def _accept_token(self) -> str:
        return str(generate_accept_token(self.environ["HTTP_SEC_WEBSOCKET_KEY"].encode()).decode())

    def listen(self, on_message: Callable[[str | bytes], None], on_end: Callable[[], None]) -> None:
        """Begin to read. Until now the reader has waited, so that no message comes before its handler."""
        self.on_message = on_message
        self.on_end = on_end
        self.event.set()

    def send(self, data: str | bytes) -> None:
        """Send one message; raises ConnectionClosed, or OSError if the peer takes nothing."""
        self._send_event(Message(data=data))

    def send_batch(self, batch: Batch) -> None:
        """Send a batch as one text message, whose bytes are everybody's; raises as `send` does."""
        if self.compressed:
            self.send(b"".join(batch.chunks()).decode())
            return
        with self._write_lock:
            if self.ws.state is not ConnectionState.OPEN or not self.connected:
                raise ConnectionClosed(self.close_reason, self.close_message)
            if batch.is_small:
                send_whole(self.sock, batch.shared(text_frame))
                return
            send_whole(self.sock, text_header(batch.size))
            for chunk in batch.chunks():
                send_whole(self.sock, chunk)

    def _send_event(self, event: Any) -> None:
        with self._write_lock:
            try:
                frame = self.ws.send(event)
            except LocalProtocolError:
                raise ConnectionClosed(self.close_reason, self.close_message) from None
            send_whole(self.sock, frame)

    def ping(self) -> None:
        """Send a ping; close the connection instead if earlier pings have gone unanswered for
        PONG_PATIENCE_S. Never blocks.

        An interval may be shorter than what a busy server, or the way there and back, takes for a pong.

        While a write is under way the kernel watches the peer (TCP_USER_TIMEOUT), and a ping would
        have to wait its turn behind it.
        """
        if not self._write_lock.acquire(blocking=False):
            return
        try:
            now_s, before_s = time.monotonic(), self._unanswered_since_s
            if before_s is not None and now_s - before_s >= PONG_PATIENCE_S:
                self.sock.shutdown(socket.SHUT_RDWR)
            elif self.ws.state is ConnectionState.OPEN:
                # gevent's socket would wait for room; the socket below it answers at once.
                below: Any = getattr(self.sock, "_sock", self.sock)
                # Before the ping leaves: on threads its pong may have been read before this goes on.
                self._unanswered_since_s = now_s if before_s is None else before_s
                try:
                    below.send(PING_FRAME, socket.MSG_DONTWAIT)
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
        if self._refusal:
            reason, message = self._refusal.code, self._refusal.reason
        try:
            self._send_event(CloseConnection(reason or CloseReason.NORMAL_CLOSURE, _short(message)))
        except (ConnectionClosed, OSError):
            pass
        if self.connected:
            self.thread.join(LINGER_S)
        self.connected = False
        _shut_down(self.sock)
        self.event.set()
        self.thread.join()

    def _thread(self) -> None:
        self.event.wait()
        try:
            while self.connected:
                received = self.sock.recv(RECEIVE_BYTES)
                if not received:
                    break
                self.ws.receive_data(received)
                for event in self.ws.events():
                    self._handle(event)
        except (OSError, ConnectionClosed, LocalProtocolError):
            pass
        finally:
            self.connected = False
            self.on_end()

    def _handle(self, event: Any) -> None:
        if isinstance(event, CloseConnection):
            self._handle_close(event)
        elif self.ws.state is not ConnectionState.OPEN or self._refusal:
            # After our close frame nothing that comes in matters but the peer's (section 7.1.6).
            return
        elif isinstance(event, Ping):
            self._send_event(event.response())
        elif isinstance(event, Pong):
            self._unanswered_since_s = None
        elif isinstance(event, TextMessage | BytesMessage):
            try:
                self._handle_data(event)
            except CloseWith as error:
                # The view closes the connection, after it has delivered what was accepted before.
                self._parts = []
                self._refusal = error
                self.on_end()

    def _handle_close(self, event: CloseConnection) -> None:
        self.close_reason, self.close_message = event.code, event.reason
        if self.ws.state is ConnectionState.REMOTE_CLOSING:
            self._send_event(event.response())
            self.connected = False
        elif self.ws.state is ConnectionState.OPEN:
            # Not the peer's close frame but wsproto's word that what came breaks the protocol.
            self._send_event(CloseConnection(event.code, _short(event.reason)))
            self.on_end()
        else:
            self.connected = False

    def _handle_data(self, event: TextMessage | BytesMessage) -> None:
        self._parts.append(event.data)
        self.incoming_message_len += len(event.data.encode() if isinstance(event.data, str) else event.data)
        if self.incoming_message_len > self.max_message_size:
            raise CloseWith(
                CloseReason.MESSAGE_TOO_BIG, f"A message may take {self.max_message_size} bytes at the most."
            )
        if event.message_finished:
            parts, self._parts, self.incoming_message_len = self._parts, [], 0
            self.on_message("".join(parts) if isinstance(event, TextMessage) else b"".join(parts))


def _short(reason: str | None) -> str | None:
    """A reason that fits a close frame, which holds 125 bytes with the code (section 5.5)."""
    return reason and reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
