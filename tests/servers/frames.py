"""WebSocket's bytes by hand, for tests of what no library would send."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from conftest import Server
from raw import KEY, TIMEOUT_S

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


class Frame(NamedTuple):
    """A frame that the server sent, whole and unfragmented."""

    opcode: int
    payload: bytes
    rsv1: bool = False


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


def told(size: int) -> bytes:
    """A payload's length in its shortest form, without the bit that says that it is masked."""
    if size < 126:
        return bytes([size])
    return b"\x7e" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x7f" + size.to_bytes(8, "big")


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, length: bytes | None = None
) -> bytes:
    """A client's frame (RFC 6455, section 5.2); `length` stands in for the bytes that tell it."""
    if length is None:
        length = told(len(payload))
    return bytes([fin << 7 | rsv << 4 | opcode, 0x80 | length[0]]) + length[1:] + MASK + masked(payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def head(
    path: str, changed: dict[str, str | list[str] | None] | None = None, line: str | None = None
) -> bytes:
    """A good handshake's head, some fields changed: another value, several of the name, or none."""
    fields: dict[str, str | list[str] | None] = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    lines = [line or f"GET {path} HTTP/1.1"]
    for name, value in (fields | (changed or {})).items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        lines += [f"{name}: {each}" for each in values]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Wire:
    """One connection, and what came on it so far."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(server.address, timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            received = self.socket.recv(65536)
            if not received:
                raise EOFError(self._received)
            self._received += received
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def answer_head(self) -> tuple[int, dict[str, str]]:
        """The status and the fields of the answer, by their names in lower case."""
        lines = b""
        while not lines.endswith(b"\r\n\r\n"):
            lines += self._take(1)
        first, *fields = lines.decode("latin-1").strip().split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value.strip() for name, value in (field.split(":", 1) for field in fields)
        }

    def frame(self) -> Frame:
        first, second = self._take(2)
        assert first & 0x80, "the server does not fragment"
        assert second < 0x80, "the server does not mask (RFC 6455, section 5.1)"
        assert not first & 0x30
        size = second
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return Frame(first & 0x0F, self._take(size), bool(first & 0x40))

    def frames(self) -> list[Frame]:
        """All until the end of the connection, which must not be a reset."""
        found = []
        while True:
            try:
                found.append(self.frame())
            except EOFError as end:
                assert end.args == (b"",)
                return found


@contextmanager
def connected(
    server: Server, path: str, changed: dict[str, str | list[str] | None] | None = None
) -> Iterator[Wire]:
    """A WebSocket that is open."""
    wire = Wire(server)
    with wire.socket:
        wire.send(head(path, changed))
        assert wire.answer_head()[0] == 101
        yield wire
