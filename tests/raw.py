"""Readers of the wire for the contract tests: as little as possible between a test and the bytes.

Independent of `clients/`, so that a mistake there cannot hide one in `servers/`.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from conftest import Server
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Request,
    TextMessage,
)

TIMEOUT_S = 30.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Answer:
    """An HTTP answer; `json` decodes its body."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    with closing(http.client.HTTPConnection(*server.address, timeout=TIMEOUT_S)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def publish(server: Server, stream: str, data: Any, **more: Any) -> Answer:
    body = json.dumps({"data": data, **more}, ensure_ascii=False).encode()
    return ask(server, "POST", f"/streams/{stream}/notifications", body, {"Content-Type": "application/json"})


def stats(server: Server, stream: str) -> Any:
    """What a stream holds and has served: nothing, if there is none yet."""
    answer = ask(server, "GET", f"/streams/{stream}/stats")
    if answer.status == 404:
        served = {"subscribers": 0, "requests": 0, "notifications": 0}
        return {"epoch": None, "newest_id": None, "transports": dict.fromkeys(READERS, served)}
    return answer.json


class RawWebSocket:
    """A WebSocket that shows everything: messages as bytes, control frames as wsproto's events."""

    def __init__(self, server: Server, path: str, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(server.address)
        self.wire = WSConnection(ConnectionType.CLIENT)
        host, port = server.address
        self.socket.sendall(self.wire.send(Request(host=f"{host}:{port}", target=path)))
        self._events = self._read_events(65536)
        first = next(self._events)
        assert isinstance(first, AcceptConnection), first

    def _read_events(self, receive_bytes: int) -> Iterator[Event]:
        while True:
            received = self.socket.recv(receive_bytes)
            self.wire.receive_data(received or None)
            yield from self.wire.events()
            if not received:
                return

    def events(self) -> Iterator[Event]:
        """Control frames as they come, and each message whole as one BytesMessage."""
        parts: list[bytes] = []
        for event in self._events:
            if isinstance(event, TextMessage | BytesMessage):
                parts.append(event.data.encode() if isinstance(event.data, str) else bytes(event.data))
                if event.message_finished:
                    yield BytesMessage(data=b"".join(parts))
                    parts = []
            else:
                yield event

    def message(self) -> bytes:
        """The next message; pings are answered on the way."""
        for event in self.events():
            if isinstance(event, BytesMessage):
                return bytes(event.data)
            if isinstance(event, Ping):
                self.socket.sendall(self.wire.send(event.response()))
                continue
            raise AssertionError(f"expected a message, got {event}")
        raise AssertionError("the connection ended")

    def close_event(self) -> CloseConnection:
        """What the server closed with; messages before it are passed over."""
        for event in self.events():
            if isinstance(event, CloseConnection):
                return event
        raise AssertionError("the connection ended without a close frame")

    def send(self, data: str | bytes) -> None:
        self.socket.sendall(self.wire.send(Message(data=data)))

    def close(self) -> None:
        self.socket.close()


def refused_upgrade(server: Server, path: str, headers: dict[str, str] | None = None) -> Answer:
    """The HTTP answer to an upgrade; `headers` replace those of a good handshake, None leaves one out."""
    good = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    chosen = {name: value for name, value in (good | (headers or {})).items() if value}
    return ask(server, "GET", path, headers=chosen)


class PollReader:
    """Batches by polling: each asks with the cursor of the last."""

    def __init__(self, server: Server, stream: str, transport: str, after: str | None = None) -> None:
        self.path = f"/streams/{stream}/{transport}"
        self.cursor = after
        self.connection = http.client.HTTPConnection(*server.address, timeout=TIMEOUT_S)
        self.joined = self.batch(wait=0) if after is None else None

    def raw_batch(self, wait: float = 10) -> bytes:
        after = f"after={self.cursor}&" if self.cursor else ""
        self.connection.request("GET", f"{self.path}?{after}wait={wait}")
        response = self.connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        self.cursor = json.loads(body)["cursor"]
        return body

    def batch(self, wait: float = 10) -> Any:
        return json.loads(self.raw_batch(wait))

    def close(self) -> None:
        self.connection.close()


class WebSocketReader:
    """Batches as they come."""

    def __init__(self, server: Server, stream: str, transport: str, after: str | None = None) -> None:
        self.websocket = RawWebSocket(
            server, f"/streams/{stream}/{transport}" + (f"?after={after}" if after else "")
        )
        self.joined = self.batch() if after is None else None

    def raw_batch(self, wait: float = 10) -> bytes:
        return self.websocket.message()

    def batch(self, wait: float = 10) -> Any:
        return json.loads(self.raw_batch(wait))

    def close(self) -> None:
        self.websocket.close()


class EventReader:
    """Batches as events, each checked to have its batch's cursor as its id; comments are passed over."""

    def __init__(
        self,
        server: Server,
        stream: str,
        transport: str = "sse",
        after: str | None = None,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> None:
        self.connection = http.client.HTTPConnection(*server.address, timeout=TIMEOUT_S)
        given = "&".join(part for part in (f"after={after}" if after else "", query) if part)
        self.connection.request("GET", f"/streams/{stream}/{transport}?{given}", headers=headers or {})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.comments = 0
        self.joined = self.batch() if after is None and not headers else None

    def raw_batch(self, wait: float = 10) -> bytes:
        data = told = None
        while line := self.response.readline():
            name, _, value = line.removesuffix(b"\n").partition(b": ")
            if name == b"id":
                told = value.decode()
            elif name == b"data":
                data = value
            elif line.startswith(b":"):
                self.comments += 1
            elif line == b"\n" and data is not None:
                assert json.loads(data)["cursor"] == told
                return data
        raise AssertionError("the event stream ended")

    def batch(self, wait: float = 10) -> Any:
        return json.loads(self.raw_batch(wait))

    def close(self) -> None:
        self.response.close()
        self.connection.close()


ENGINE = "/socket.io/?EIO=4&transport="
BEFORE_BATCH, AFTER_BATCH = b'42["batch",', b"]"


def connect_packet(stream: str, after: str | None = None) -> str:
    """Engine.IO's message with Socket.IO's CONNECT, whose data are the auth."""
    return "40" + json.dumps({"stream": stream} | ({"after": after} if after is not None else {}))


class RawPolling:
    """A session of Engine.IO by polling, on one connection for what is asked and another for what is told."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.polls, self.posts = (
            http.client.HTTPConnection(*server.address, timeout=TIMEOUT_S) for _ in "12"
        )
        self.path = ENGINE + "polling"
        [opening] = self.poll()
        self.opening = json.loads(opening[1:])
        self.path += "&sid=" + self.opening["sid"]

    def ask(self, connection: http.client.HTTPConnection, body: bytes | None = None) -> Answer:
        connection.request("GET" if body is None else "POST", self.path, body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def poll(self) -> list[bytes]:
        """The packets of the next answer."""
        answer = self.ask(self.polls)
        assert answer.status == 200, answer.body
        return answer.body.split(b"\x1e")

    def post(self, *packets: str) -> Answer:
        return self.ask(self.posts, "\x1e".join(packets).encode())

    def close(self) -> None:
        self.polls.close()
        self.posts.close()


class RawEngineSocket:
    """The same on a WebSocket."""

    def __init__(self, server: Server) -> None:
        self.websocket = RawWebSocket(server, ENGINE + "websocket")
        self.opening = json.loads(self.websocket.message()[1:])

    def poll(self) -> list[bytes]:
        return [self.websocket.message()]

    def post(self, *packets: str) -> None:
        for packet in packets:
            self.websocket.send(packet)

    def close(self) -> None:
        self.websocket.close()


class SocketIOReader:
    """Batches of a session that has joined a stream; pings are answered, other packets are in `others`."""

    engine: type[RawPolling] | type[RawEngineSocket] = RawEngineSocket

    def __init__(self, server: Server, stream: str, transport: str, after: str | None = None) -> None:
        self.raw = self.engine(server)
        self.others: list[bytes] = []
        self._batches: list[bytes] = []
        self.raw.post(connect_packet(stream, after))
        self.joined = self.batch() if after is None else None

    def read(self) -> None:
        """Take what is told next."""
        for packet in self.raw.poll():
            if packet == b"2":
                self.raw.post("3")
            elif packet.startswith(BEFORE_BATCH):
                self._batches.append(packet[len(BEFORE_BATCH) : -len(AFTER_BATCH)])
            elif packet != b"6":
                self.others.append(packet)

    def raw_batch(self, wait: float = 10) -> bytes:
        while not self._batches:
            self.read()
            assert not any(packet.startswith(b"44") for packet in self.others), self.others
        return self._batches.pop(0)

    def batch(self, wait: float = 10) -> Any:
        return json.loads(self.raw_batch(wait))

    def other(self) -> bytes:
        """The next packet that is no batch, after the connection's."""
        while True:
            others = [packet for packet in self.others if not packet.startswith(b"40")]
            if others:
                self.others.remove(others[0])
                return others[0]
            self.read()

    def publish(self, argument: str, number: int = 0) -> Any:
        """What the event is acknowledged with."""
        self.raw.post(f'42{number}["publish",{argument}]')
        packet = self.other().decode()
        assert packet.startswith(f"43{number}[")
        [answer] = json.loads(packet[len(f"43{number}") :])
        return answer

    def close(self) -> None:
        self.raw.close()


class SocketIOPollingReader(SocketIOReader):
    """The same by polling."""

    engine = RawPolling


Reader = PollReader | EventReader | WebSocketReader | SocketIOReader
READERS: dict[str, type[Reader]] = {
    "short-poll": PollReader,
    "long-poll": PollReader,
    "sse": EventReader,
    "websocket": WebSocketReader,
    "socketio": SocketIOReader,
    "socketio-polling": SocketIOPollingReader,
}
SOCKETIO = ("socketio", "socketio-polling")
"""They have one address, and their refusals come as packets."""
