"""Probes: raw evidence for the claims about the handshake and headers, over sockets that hide nothing.

Rules:
- Bytes are written and read as they are, by a plain socket; what is kept is what was on the wire.
- The article's handshake is sent as it prints it. Only what names another machine is replaced: the target,
  Host
  and Origin. Each variant gets a connection of its own.
- A probe that cannot be finished tells the error instead of evidence; it never stops a run.

RFC 6455 §4.2.1 wants a Sec-WebSocket-Key and a Sec-WebSocket-Version of 13 in every handshake.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wsproto.frame_protocol import FrameProtocol, Opcode

from bench.trials.processes.child import Child, ChildFailed
from bench.trials.trial import START_TIMEOUT_S, STREAM, server_url
from clients import TRANSPORTS
from clients.errors import ClientError
from clients.explain.exchange import exchange
from clients.explain.printed_handshake import KEY, VERSION, handshake
from clients.headers import HEADER_SETS

ROUND_TRIPS = 50
WELCOME_CLIENTS = 5
WELCOME_TARGET = "/welcome/websocket"
MESSAGE = "x" * 100
TIMEOUT_S = 10.0
MOST_BYTES = 65536
"""Most that is read of an answer."""


def run(name: str, scratch: Path) -> dict[str, Any]:
    """Run one probe against a server of its own and return its evidence, or {"error": …}."""
    probe = {
        "upgrade": upgrade,
        "as-printed": as_printed,
        "welcome": welcome,
        "headers": headers,
    }[name]
    command = [sys.executable, "-m", "bench.cli", "serve", "--port", "0"]
    server = None
    try:
        server = Child("server", command, errors=scratch / "server.log", core=None)
        return probe(server_url(server.line(START_TIMEOUT_S)))
    except (ChildFailed, ClientError, OSError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        if server is not None:
            server.end()


def upgrade(url: str) -> dict[str, Any]:
    """A whole handshake with /echo, messages both ways on that connection, and the same by POST."""
    with _connected(url) as connection:
        local, remote = connection.getsockname(), connection.getpeername()
        host = urlsplit(url).netloc
        request = handshake("/echo", host, KEY.format(key=_key()), VERSION)
        connection.sendall(request)
        response, rest = _read_head(connection)
        status = _status(response)
        sent = received = 0
        round_trips_ms: list[float] = []
        if status == 101:
            frames = FrameProtocol(client=True, extensions=[])
            frames.receive_bytes(rest)
            for number in range(ROUND_TRIPS):
                message = f"{number} {MESSAGE}"
                started = time.perf_counter()
                connection.sendall(frames.send_data(message))
                sent += 1
                if _read_message(connection, frames) == message:
                    received += 1
                    round_trips_ms.append((time.perf_counter() - started) * 1000)
        same = (connection.getsockname(), connection.getpeername()) == (local, remote)
    return {
        "request": request.decode("ascii"),
        "request_bytes": len(request),
        "response": response.decode("latin-1"),
        "response_bytes": len(response),
        "status": status,
        "messages_sent": sent,
        "messages_received": received,
        "same_connection": same,
        "websocket_round_trip_ms": round_trips_ms,
        "post_round_trip_ms": _post_round_trips_ms(url),
    }


def as_printed(url: str) -> dict[str, Any]:
    """The handshake that the article prints, and the same with what RFC 6455 asks for, one by one and
    both."""
    variants: dict[str, tuple[str, ...]] = {
        "printed": (),
        "completed": (KEY, VERSION),
        "key_only": (KEY,),
        "version_only": (VERSION,),
    }
    found = {}
    for name, added in variants.items():
        with _connected(url) as connection:
            lines = (line.format(key=_key()) for line in added)
            host = urlsplit(url).netloc
            request = handshake(f"ws://{host}/streams/{STREAM}/websocket", host, *lines)
            connection.sendall(request)
            response, _ = _read_head(connection)
        found[name] = {
            "request": request.decode("ascii"),
            "status": _status(response),
            "response": response.decode("latin-1"),
        }
    return found


def welcome(url: str) -> dict[str, Any]:
    """Several plain WebSocket clients, all connected at once, and the first message that each of them got.

    A message is None where a client got none in time. The page itself is tested in a browser.
    """
    host = urlsplit(url).netloc
    messages: list[str | None] = []
    with contextlib.ExitStack() as connected:
        for _ in range(WELCOME_CLIENTS):
            connection = connected.enter_context(_connected(url))
            connection.sendall(handshake(WELCOME_TARGET, host, KEY.format(key=_key()), VERSION))
            response, rest = _read_head(connection)
            if _status(response) != 101:
                raise ValueError(f"the handshake with {WELCOME_TARGET} was answered {_status(response)}")
            frames = FrameProtocol(client=True, extensions=[])
            frames.receive_bytes(rest)
            try:
                messages.append(_read_message(connection, frames))
            except (TimeoutError, ConnectionResetError):
                messages.append(None)
    return {"target": WELCOME_TARGET, "clients": WELCOME_CLIENTS, "messages": messages}


def headers(url: str) -> dict[str, Any]:
    """Bytes of each message in one exchange of each transport with each set of headers, by what they are."""
    return {
        f"{transport}, {kind}": [
            {"phase": step.phase, "sender": step.sender, **step.parts}
            for step in exchange(url, transport, kind).steps
        ]
        for transport in TRANSPORTS
        for kind in HEADER_SETS
    }


def _post_round_trips_ms(url: str) -> list[float]:
    """The same messages to POST /echo, on one keep-alive connection."""
    round_trips_ms = []
    with _connected(url) as connection:
        for number in range(ROUND_TRIPS):
            body = f"{number} {MESSAGE}".encode("ascii")
            head = (
                f"POST /echo HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            connection.sendall(head.encode("ascii") + body)
            answer, rest = _read_head(connection)
            while len(rest) < len(body):
                rest += _read(connection)
            if _status(answer) != 200 or rest != body:
                raise ValueError(f"POST /echo answered {answer[:100]!r}")
            round_trips_ms.append((time.perf_counter() - started) * 1000)
    return round_trips_ms


def _key() -> str:
    return base64.b64encode(os.urandom(16)).decode("ascii")


@contextlib.contextmanager
def _connected(url: str) -> Iterator[socket.socket]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _read(connection: socket.socket) -> bytes:
    data = connection.recv(MOST_BYTES)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The status line and headers as they came, and what followed them so far."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > MOST_BYTES:
            raise ValueError("the answer's head does not end")
        data += _read(connection)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _status(head: bytes) -> int:
    return int(head.split(b" ", 2)[1])


def _read_message(connection: socket.socket, frames: FrameProtocol) -> str:
    text = ""
    while True:
        for frame in frames.received_frames():
            if frame.opcode is Opcode.TEXT:
                text += str(frame.payload)
                if frame.message_finished:
                    return text
        frames.receive_bytes(_read(connection))
