"""WebSocket: ask once, by a handshake (RFC 6455, 4), and be sent a message whenever there is news.

The handshake is HTTP, so it is read as the polls' answers are; after it come frames (clients.frames).

A peer that vanished without a word is silent as one without news is. So the client asks for a heartbeat: if
there is no news for `heartbeat_s`, an empty batch comes. It drops a connection on which nothing came for
HEARTBEATS_MISSED of them; a ping counts as a sign of life too. A measured subscriber asks for none
(bench.trials.generator has the reason): then the kernel's keep-alive is all that notices.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import ClassVar

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed
from wsproto.utilities import generate_accept_token

from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.frames import FrameReader
from clients.headers import handshake_headers
from clients.http_response import Response
from clients.subscriber import Delivery, Pong, Request, Subscriber
from clients.wire import Connection

# The server finds fault with what we sent; coming back with the same would end the same (RFC 6455, 7.4.1).
_OUR_FAULT = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


class WebSocketSubscriber(Subscriber):
    """A client that keeps one WebSocket open."""

    transport = "websocket"
    label = "WebSocket"
    asks_again = False
    held = True
    pong: ClassVar[Pong | None] = "frame"
    factors: ClassVar[tuple[str, ...]] = ("wait_s", "headers", "permessage_deflate")
    good_status = 101

    def _deliveries(self) -> Iterator[Delivery]:
        connection, frames, data = self._handshake()
        goodbye = CloseReason.NORMAL_CLOSURE
        try:
            while True:
                for message in frames.read(data):
                    if isinstance(message, str):
                        self._told_by(message, connection, frames)
                        yield from self._given
                    elif message.opcode is Opcode.PING:
                        connection.send(frames.protocol.pong(message.payload))
                    elif message.opcode is Opcode.CLOSE:
                        goodbye, reason = message.payload
                        raise _closed_by_server(int(goodbye), reason)
                data = self._receive(connection)
                if not data or self._closed.is_set():
                    raise ConnectionLost("the server closed the connection without a close frame")
        except OSError as error:
            raise ConnectionLost(f"the connection was lost: {error}") from None
        except ParseFailed as error:
            goodbye = error.code
            raise BadAnswer(f"the server broke the protocol: {error}") from None
        finally:
            _say_goodbye(connection, frames.protocol, goodbye)

    @property
    def _offers_deflate(self) -> bool:
        return self.permessage_deflate and "permessage_deflate" in self.factors

    def _told_by(self, message: str, connection: Connection, frames: FrameReader) -> None:
        """Take a text message."""
        self._take(message, connection)

    def _handshake(self) -> tuple[Connection, FrameReader, bytes]:
        """Upgrade the connection; return it, the frames to come, and the first bytes of them."""
        key = base64.b64encode(self._random.randbytes(16)).decode("ascii")
        deflate = PerMessageDeflate() if self._offers_deflate else None
        offer = None
        if deflate is not None:
            parameters = deflate.offer()
            offer = f"{deflate.name}; {parameters}" if isinstance(parameters, str) else deflate.name
        headers = handshake_headers(self.headers, self.endpoint.host_header, key, offer)
        target = self._target(**self._heartbeat_query())
        sent_us, response = self._ask(f"GET {target} HTTP/1.1\r\n{headers}", good=101)
        connection = self._connection
        assert connection is not None
        if self.on_request is not None:
            self.on_request(Request(sent_us, connection.received_us, connection.handled_us, 0, 101))
        _check_accept(response, key)
        extensions = response.headers.get(b"sec-websocket-extensions", b"").decode("latin-1")
        if extensions:
            if deflate is None or not extensions.startswith(deflate.name) or "," in extensions:
                raise BadAnswer(f"the server chose an extension that was not offered: {extensions}")
            deflate.finalize(extensions)
        connection.wait_at_most(self._patience_s())
        frames = FrameReader([deflate] if deflate is not None and extensions else [])
        return connection, frames, self._parser.upgraded or b""


def _closed_by_server(code: int, reason: str) -> ConnectionLost | Refused:
    """Return the error for a close frame: ConnectionLost if coming back may help, else Refused."""
    if code in _OUR_FAULT:
        return Refused(code, reason or "(it does not say why)")
    return ConnectionLost(f"the server closed the WebSocket with {code}: {reason or '(it does not say why)'}")


def _say_goodbye(connection: Connection, protocol: FrameProtocol, code: int) -> None:
    """Send a close frame if the connection can still take it; nobody waits for the answer."""
    try:
        connection.send(protocol.close(code))
    except OSError:
        pass


def _check_accept(response: Response, key: str) -> None:
    """Check that the server understood the handshake (RFC 6455, 4.1); raises BadAnswer."""
    if response.headers.get(b"upgrade", b"").lower() != b"websocket":
        raise BadAnswer("the server switched to something that is not WebSocket")
    if response.headers.get(b"sec-websocket-accept", b"") != generate_accept_token(key.encode("ascii")):
        raise BadAnswer("the server's Sec-WebSocket-Accept does not match the key that was sent")
