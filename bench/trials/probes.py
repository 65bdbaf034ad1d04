"""Probes: raw evidence for the claims about the handshake and headers, over sockets that hide nothing.

Rules:
- Bytes are written and read as they are, by a plain socket; what is kept is what was on the wire.
- The article's handshake is sent as it prints it. Only what names another machine is replaced: the target,
  Host and Origin. Each variant gets a connection of its own.
- A probe that cannot be finished tells the error instead of evidence; it never stops a run.

RFC 6455 §4.2.1 wants a Sec-WebSocket-Key and a Sec-WebSocket-Version of 13 in every handshake.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from bench.trials.processes.child import ChildFailed
from bench.trials.processes.own_server import own_server
from bench.trials.trial import STREAM
from clients import TRANSPORTS
from clients.errors import ClientError
from clients.explain.exchange import exchange, read_answer
from clients.explain.printed_handshake import KEY, VERSION, handshake
from clients.frames import FrameReader
from clients.headers import HEADER_SETS
from clients.http_response import Response, ResponseParser

ROUND_TRIPS = 50
WELCOME_CLIENTS = 5
WELCOME_TARGET = "/welcome/websocket"
MESSAGE = "x" * 100
TIMEOUT_S = 10.0
MOST_BYTES = 65536
"""Most that is read of an answer."""


def run(name: str) -> dict[str, Any]:
    """Run one probe against a server of its own and return its evidence, or {"error": …}."""
    probe = {
        "upgrade": upgrade,
        "as-printed": as_printed,
        "welcome": welcome,
        "headers": headers,
    }[name]
    try:
        with own_server() as url:
            return probe(url)
    except (ChildFailed, ClientError, OSError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def upgrade(url: str) -> dict[str, Any]:
    """A whole handshake with /echo, messages both ways on that connection, and the same by POST."""
    with _connected(url) as connection:
        local, remote = connection.getsockname(), connection.getpeername()
        host = urlsplit(url).netloc
        request = handshake("/echo", host, KEY.format(key=_key()), VERSION)
        connection.sendall(request)
        answer = read_answer(connection, request)
        sent = received = 0
        round_trips_ms: list[float] = []
        if answer.status == 101:
            reader, rest = FrameReader([]), answer.rest
            for number in range(ROUND_TRIPS):
                message = f"{number} {MESSAGE}"
                started = time.perf_counter()
                connection.sendall(reader.protocol.send_data(message))
                sent += 1
                if _first_message(connection, reader, rest) == message:
                    received += 1
                    round_trips_ms.append((time.perf_counter() - started) * 1000)
                rest = b""
        same = (connection.getsockname(), connection.getpeername()) == (local, remote)
    return {
        "request": request.decode("ascii"),
        "request_bytes": len(request),
        "response": answer.head.decode("latin-1"),
        "response_bytes": len(answer.head),
        "status": answer.status,
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
            answer = read_answer(connection, request)
        found[name] = {
            "request": request.decode("ascii"),
            "status": answer.status,
            "response": answer.head.decode("latin-1"),
        }
    return found


def welcome(url: str) -> dict[str, Any]:
    """Several plain WebSocket clients, all connected at once, and the first message that each of them got.

    A message is None if a client got none in time. The page itself is tested in a browser.
    """
    host = urlsplit(url).netloc
    messages: list[str | None] = []
    with contextlib.ExitStack() as connected:
        for _ in range(WELCOME_CLIENTS):
            connection = connected.enter_context(_connected(url))
            request = handshake(WELCOME_TARGET, host, KEY.format(key=_key()), VERSION)
            connection.sendall(request)
            answer = read_answer(connection, request)
            if answer.status != 101:
                raise ValueError(f"the handshake with {WELCOME_TARGET} was answered {answer.status}")
            try:
                messages.append(_first_message(connection, FrameReader([]), answer.rest))
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
    parser = ResponseParser()
    with _connected(url) as connection:
        for number in range(ROUND_TRIPS):
            body = f"{number} {MESSAGE}".encode("ascii")
            head = (
                f"POST /echo HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            connection.sendall(head.encode("ascii") + body)
            answers: list[Response] = []
            while not answers and (data := connection.recv(MOST_BYTES)):
                answers = parser.feed(data)
            if not answers or answers[0].status != 200 or answers[0].body != body:
                raise ValueError(f"POST /echo answered {answers}")
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


def _first_message(connection: socket.socket, reader: FrameReader, data: bytes) -> str:
    """The next text message; `data` is what was read already."""
    while True:
        for message in reader.read(data):
            if isinstance(message, str):
                return message
        data = connection.recv(MOST_BYTES)
        if not data:
            raise ConnectionResetError("the server closed the connection")
