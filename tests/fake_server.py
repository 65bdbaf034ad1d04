"""Servers that misbehave on purpose: raw sockets, one script a connection."""

import base64
import errno
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OPENING = b'0{"sid":"s","upgrades":[],"pingInterval":20000,"pingTimeout":8000,"maxPayload":1000000}'
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.received_bytes = 0

    def _receive(self) -> bytes:
        data = self.socket.recv(65536)
        self.received_bytes += len(data)
        return data

    def read_request(self) -> str:
        """Return one request's head, "" at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            data = self._receive()
            if not data:
                return ""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("ascii")

    def read_exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            data = self._receive()
            if not data:
                raise EOFError
            self._buffer += data
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_frame(self) -> tuple[int, bytes]:
        """Return one client frame's opcode and unmasked payload; it must be short and masked."""
        first, second = self.read_exactly(2)
        assert second & 0x80, "a client must mask its frames"
        mask = self.read_exactly(4)
        payload = self.read_exactly(second & 0x7F)
        return first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))

    def send(self, data: bytes, chunk: int | None = None) -> None:
        """Send, all at once or a few bytes at a time."""
        for start in range(0, len(data), chunk or len(data) or 1):
            self.socket.sendall(data[start : start + (chunk or len(data))])

    def upgrade(self, extra: str = "", accept: str | None = None) -> str:
        """Read a handshake and answer it; return its head."""
        request = self.read_request()
        found = re.search(r"Sec-WebSocket-Key: (\S+)", request)
        assert found
        digest = hashlib.sha1((found[1] + GUID).encode()).digest()
        accept = accept or base64.b64encode(digest).decode()
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n".encode()
        )
        return request

    def begin(self, transport: str) -> str:
        """Read what the transport asks first, and answer so far as it can be without a batch."""
        if transport == "websocket":
            return self.upgrade()
        if transport == "socketio":
            request = self.upgrade()
            self.send(frame(OPENING))
            request += cursor_of(self.read_frame()[1])
            self.send(frame(b'40{"sid":"s"}'))
            return request
        request = self.read_request()
        if transport == "socketio-polling" and request:
            self.send(http(OPENING))
            length = re.search(r"Content-Length: (\d+)", self.read_request())
            if not length:
                raise EOFError
            request += cursor_of(self.read_exactly(int(length[1])))
            self.send(http(b"OK"))
            self.read_request()
        if transport == "sse" and request:
            self.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        return request

    def wait_for_end(self) -> bytes:
        """Read until the client ends the connection; return what came."""
        try:
            while data := self._receive():
                self._buffer += data
        except ConnectionError:
            pass
        return self._buffer


@contextmanager
def fake_server(script: Callable[[Peer, int], None]) -> Iterator[str]:
    """Listen, run `script(peer, number)` for each connection in a thread, and yield the URL.

    A script that raises makes the test fail at the end of the block.
    """
    errors: list[BaseException] = []
    threads: list[threading.Thread] = []
    peers: list[Peer] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def run(peer: Peer, number: int) -> None:
        try:
            script(peer, number)
        except (ConnectionError, EOFError):
            pass
        except BaseException as error:  # noqa: BLE001 - told below
            # Shutting down a connection that the client has just reset is no ConnectionError to Python.
            if not (isinstance(error, OSError) and error.errno == errno.ENOTCONN):
                errors.append(error)
        finally:
            peer.socket.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            peers.append(Peer(connection))
            threads.append(threading.Thread(target=run, args=(peers[-1], len(peers) - 1), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join(10)
        listener.close()
        for peer in peers:
            try:
                peer.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in threads:
            thread.join(10)
    if errors:
        raise errors[0]


def batch(*ids: int, cursor: str | None = None, missed: int | None = 0, data: object = "x") -> bytes:
    """Return a batch as the contract has it."""
    entries = [{"id": id_, "due_us": 1000 + id_, "accepted_us": 2000 + id_, "data": data} for id_ in ids]
    cursor = cursor or f"a.{ids[-1] if ids else 0}"
    value = {"notifications": entries, "cursor": cursor, "missed": missed}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def event(body: bytes, newline: bytes = b"\n") -> bytes:
    """Return an event of an event stream."""
    return b"id: " + json.loads(body).get("cursor", "").encode() + newline + b"data: " + body + newline * 2


def cursor_of(connect: bytes) -> str:
    """Return what a CONNECT packet's auth asks from, as a request's target would."""
    auth = json.loads(connect.removeprefix(b"40"))
    return f"?after={auth['after']}" if "after" in auth else ""


def event_packet(body: bytes) -> bytes:
    """Return a batch as Socket.IO's event."""
    return b'42["batch",' + body + b"]"


def frame(payload: bytes, opcode: int = 1, fin: bool = True, rsv1: bool = False) -> bytes:
    """Return a server's WebSocket frame."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    if len(payload) < 126:
        return bytes([first, len(payload)]) + payload
    if len(payload) < 65536:
        return bytes([first, 126]) + struct.pack("!H", len(payload)) + payload
    return bytes([first, 127]) + struct.pack("!Q", len(payload)) + payload


def wrapped(transport: str, body: bytes) -> bytes:
    """Return a batch as the transport sends it."""
    if transport in ("socketio", "socketio-polling"):
        body = event_packet(body)
    return {"websocket": frame, "socketio": frame, "sse": event}.get(transport, http)(body)
