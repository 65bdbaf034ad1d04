"""The bridge from the server model `asyncio` to an ASGI application, with applications that go wrong."""

import asyncio
import http.client
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from conftest import Server as Started
from raw import RawWebSocket, refused_upgrade
from waiting import until
from wsproto.events import BytesMessage, CloseConnection

from servers.asyncio_server.bridge import Bridge
from servers.asyncio_server.server import Server
from servers.drafts import parse_draft
from servers.rules.engine_io import PATH
from servers.settings import Settings
from servers.socketio_asgi.application import Application
from servers.socketio_asgi.requests import PIECES, Receive, Scope, Send

MIB = 1 << 20
App = Callable[[Scope, Receive, Send], Awaitable[None]]
LENGTH = b"content-length"


class Given(Application):
    """A test's own application, at the address of Socket.IO."""

    def __init__(self, server: Server, app: App) -> None:
        super().__init__(server.streams, server.pinger, server.unaccepted, server.turns)
        self._app = app

    def has_session(self, sid: str | None) -> bool:
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Served(threading.Thread):
    """A server in this process, on a loop of its own."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._app = app
        self._ready = threading.Event()
        self.start()
        assert self._ready.wait(10)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.server = Server(Settings(), self._loop, 100)
        self.server.bridge = Bridge(Given(self.server, self._app))
        await self.server.begin(self._listener)
        self._ready.set()
        await self.server.ended()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.server.stop)
        self.join()
        self._listener.close()


@pytest.fixture
def bridged() -> Iterator[Callable[[App], Started]]:
    """Serve an application."""
    started: list[Served] = []

    def start(app: App) -> Started:
        started.append(Served(app))
        return cast(Started, started[-1])

    yield start
    for server in started:
        server.stop()


Bridged = Callable[[App], Started]


@pytest.fixture
def connect() -> Iterator[Callable[[Started], http.client.HTTPConnection]]:
    opened: list[http.client.HTTPConnection] = []

    def start(server: Started) -> http.client.HTTPConnection:
        opened.append(http.client.HTTPConnection(*server.address, timeout=10))
        return opened[-1]

    yield start
    for connection in opened:
        connection.close()


Connect = Callable[[Started], http.client.HTTPConnection]


async def start_answer(send: Send, size: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(LENGTH, b"%d" % size)]})


def ask(
    connection: http.client.HTTPConnection, path: str = PATH, body: bytes | None = None
) -> tuple[int, bytes]:
    connection.request("POST" if body is not None else "GET", path, body)
    response = connection.getresponse()
    return response.status, response.read()


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("as it should")


async def answers_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


@pytest.mark.parametrize("app", [fails, answers_nothing])
def test_who_gets_no_answer_is_told_so_and_the_connection_goes_on(
    bridged: Bridged, connect: Connect, app: App
) -> None:
    connection = connect(bridged(app))
    for _ in range(2):
        status, body = ask(connection)
        assert (status, b'"status": 500' in body) == (500, True)
    assert ask(connection, "/healthz") == (200, b"ok\n")


def test_an_answer_that_breaks_off_ends_the_connection(bridged: Bridged, connect: Connect) -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await start_answer(send, 10)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise RuntimeError("as it should")

    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        ask(connect(bridged(breaks_off)))


def test_a_body_comes_whole_and_an_answer_goes_in_pieces(bridged: Bridged, connect: Connect) -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        await start_answer(send, 3 * len(body))
        for has_more in (True, True, False):
            await send({"type": "http.response.body", "body": body, "more_body": has_more})

    connection = connect(bridged(echo))
    body = bytes(range(256)) * 4096
    assert ask(connection, body=body) == (200, body * 3)
    assert ask(connection, body=b"") == (200, b"")
    assert ask(connection, "/healthz") == (200, b"ok\n"), "what comes behind is served when it is answered"


def test_what_comes_behind_waits_its_turn(bridged: Bridged) -> None:
    async def later(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        body = scope["query_string"]
        await start_answer(send, len(body))
        await send({"type": "http.response.body", "body": body})

    with closing(socket.create_connection(bridged(later).address, timeout=10)) as connection:
        one = "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"
        wanted = [f"{PATH}?first", "/healthz", f"{PATH}?second", "/healthz"]
        connection.sendall("".join(one % path for path in wanted).encode())
        received = b""
        while received.count(b"ok\n") < 2:
            received += connection.recv(65536)
        found = [received.index(words) for words in (b"first", b"ok", b"second")]
        assert found == sorted(found)


@pytest.mark.parametrize("goes", ["closes", "shuts its side", "resets", "sends much more"])
def test_the_application_is_told_of_who_goes(bridged: Bridged, goes: str) -> None:
    asked, told = threading.Event(), threading.Event()

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        asked.set()
        assert (await receive())["type"] == "http.disconnect"
        told.set()
        await start_answer(send, 0)
        await send({"type": "http.response.body"})

    connection = socket.create_connection(bridged(waits).address, timeout=10)
    connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert asked.wait(10)
    if goes == "shuts its side":
        connection.shutdown(socket.SHUT_WR)
    elif goes == "resets":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif goes == "sends much more":
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
    if goes in ("closes", "resets"):
        connection.close()
    assert told.wait(10)
    if goes == "shuts its side":
        assert b"\r\nConnection: close\r\n" in connection.recv(65536)
    connection.close()


@pytest.mark.parametrize("is_websocket", [False, True])
def test_whoever_sends_waits_for_the_socket_and_sees_the_client_go(
    bridged: Bridged, is_websocket: bool
) -> None:
    sent: list[int] = []
    errors: list[OSError] = []

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if is_websocket:
            await receive()
            await send({"type": "websocket.accept"})
        else:
            await start_answer(send, 1000 * MIB)
        try:
            while True:
                if is_websocket:
                    await send({"type": PIECES, "size": MIB, "pieces": iter([b"x" * MIB])})
                else:
                    await send({"type": "http.response.body", "body": b"x" * MIB, "more_body": True})
                sent.append(MIB)
        except OSError as error:
            errors.append(error)
            raise

    server = bridged(endless)
    if is_websocket:
        client: Any = RawWebSocket(server, PATH, receive_buffer=4096)
        assert client.message() == b"x" * MIB
    else:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(server.address)
        client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.recv(4096)
    until(lambda: bool(sent))
    seen = -1
    while seen != len(sent):
        seen = len(sent)
        threading.Event().wait(0.2)
    assert seen < 50, "a socket takes no more than its buffers"
    client.close()
    until(lambda: len(errors) == 1)


def test_a_websocket_is_refused_by_http(bridged: Bridged) -> None:
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert "websocket.http.response" in scope["extensions"]
        await send({"type": "websocket.http.response.start", "status": 418, "headers": [(LENGTH, b"3")]})
        await send({"type": "websocket.http.response.body", "body": b"tea"})

    answer = refused_upgrade(bridged(refuses), PATH)
    assert (answer.status, answer.body) == (418, b"tea")


def test_a_websocket_carries_messages_until_either_ends(bridged: Bridged) -> None:
    ended = threading.Event()

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            told = event.get("text") or event["bytes"].decode()
            if told == "fail":
                raise RuntimeError("as it should")
            if told == "close":
                await send({"type": "websocket.close", "code": 4000, "reason": "asked for"})
            else:
                await send({"type": "websocket.send", "text": told})
        ended.set()

    server = bridged(echo)
    with closing(RawWebSocket(server, PATH)) as client:
        for number in range(100):
            client.send(f"{number}")
        client.send(b"bytes")
        client.send("x" * MIB)
        client.send("close")
        messages = []
        for event in client.events():
            if isinstance(event, CloseConnection):
                assert (event.code, event.reason) == (4000, "asked for")
                break
            assert isinstance(event, BytesMessage)
            messages.append(bytes(event.data))
        assert messages == [*(b"%d" % number for number in range(100)), b"bytes", b"x" * MIB]
    assert ended.wait(10)
    ended.clear()
    RawWebSocket(server, PATH).close()
    assert ended.wait(10), "it is told of who goes"
    with closing(RawWebSocket(server, PATH)) as client:
        client.send("fail")
        with pytest.raises((AssertionError, ConnectionResetError)):
            client.message()


@pytest.mark.parametrize("is_websocket", [False, True])
def test_what_the_application_publishes_is_delivered_at_once(bridged: Bridged, is_websocket: bool) -> None:
    """Also if it goes on to wait for something else, or if its connection ends."""
    ends = threading.Event()

    async def publishes(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if is_websocket:
            await send({"type": "websocket.accept"})
            await receive()
        given.streams.to_publish("main").publish(parse_draft(b'{"data":7}'))
        if is_websocket:
            await asyncio.to_thread(ends.wait, 10)
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            await start_answer(send, 0)
            await send({"type": "http.response.body"})

    server = bridged(publishes)
    given = cast(Served, server).server
    with closing(RawWebSocket(server, "/streams/main/websocket")) as reader:
        reader.message()
        reader.socket.settimeout(3)
        if is_websocket:
            client: Any = RawWebSocket(server, PATH)
            client.send("publish")
        else:
            client = socket.create_connection(server.address, timeout=10)
            client.sendall(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with closing(client):
            try:
                assert b'"data":7' in reader.message()
            finally:
                ends.set()
            if is_websocket:
                assert client.close_event().code == 1000
            else:
                assert client.recv(65536)
