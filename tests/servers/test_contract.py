"""The contract on the wire, over every transport and every server model, on real servers."""

import itertools
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Server
from models import ON_THE_WIRE, serving_process
from raw import (
    KEY,
    READERS,
    SOCKETIO,
    Answer,
    RawWebSocket,
    Reader,
    ask,
    publish,
    refused_upgrade,
    stats,
)
from waiting import until
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, Pong

from servers.transports import TRANSPORTS

MIB = 1 << 20
names = (f"contract-{number}" for number in itertools.count())
WITH_TARGETS = [name for name in TRANSPORTS if name not in SOCKETIO]
"""Whose stream and cursor are in the request's target; what the others are refused is in test_socketio.py."""
Read = Callable[..., Reader]


@pytest.fixture
def stream() -> str:
    """A stream that no other test uses."""
    return next(names)


@pytest.fixture
def read() -> Iterator[Read]:
    """Open readers that are closed at the test's end."""
    opened: list[Reader] = []

    def open_reader(server: Server, stream: str, transport: str, after: str | None = None) -> Reader:
        opened.append(READERS[transport](server, stream, transport, after))
        return opened[-1]

    yield open_reader
    for reader in opened:
        reader.close()


def collect(reader: Reader, count: int) -> list[Any]:
    """The next `count` notifications."""
    notifications: list[Any] = []
    while len(notifications) < count:
        notifications += reader.batch()["notifications"]
    return notifications


def test_every_transport_is_read_here() -> None:
    """A transport that joins the registry joins these tests."""
    assert set(READERS) == set(TRANSPORTS)


@pytest.mark.parametrize("transport", TRANSPORTS)
class TestEveryTransport:
    """What holds on each transport alike."""

    def test_delivers_each_once_and_in_order(
        self, wire_server: Server, stream: str, read: Read, transport: str
    ) -> None:
        reader = read(wire_server, stream, transport)
        for number in range(50):
            assert publish(wire_server, stream, number).status == 201
        notifications = collect(reader, 50)
        assert [each["id"] for each in notifications] == list(range(1, 51))
        assert [each["data"] for each in notifications] == list(range(50))

    def test_joins_at_the_head(self, wire_server: Server, stream: str, read: Read, transport: str) -> None:
        publish(wire_server, stream, "before")
        reader = read(wire_server, stream, transport)
        assert reader.joined["notifications"] == []
        assert reader.joined["missed"] == 0
        publish(wire_server, stream, "after")
        assert [each["data"] for each in collect(reader, 1)] == ["after"]

    def test_resumes_from_its_cursor(
        self, wire_server: Server, stream: str, read: Read, transport: str
    ) -> None:
        reader = read(wire_server, stream, transport)
        publish(wire_server, stream, 1)
        cursor = reader.batch()["cursor"]
        reader.close()
        publish(wire_server, stream, 2)
        publish(wire_server, stream, 3)
        batch = read(wire_server, stream, transport, cursor).batch()
        assert [each["data"] for each in batch["notifications"]] == [2, 3]
        assert batch["missed"] == 0

    def test_answers_an_unknown_epoch_at_once_with_all_that_is_held(
        self, wire_server: Server, stream: str, read: Read, transport: str
    ) -> None:
        empty = read(wire_server, stream, transport, "otherlife.7").batch()
        assert (empty["notifications"], empty["missed"]) == ([], None)
        publish(wire_server, stream, 1)
        publish(wire_server, stream, 2)
        batch = read(wire_server, stream, transport, "otherlife.7").batch()
        assert [each["id"] for each in batch["notifications"]] == [1, 2]
        assert batch["missed"] is None

    def test_delivers_a_mebibyte_whole(
        self, wire_server: Server, stream: str, read: Read, transport: str
    ) -> None:
        reader = read(wire_server, stream, transport)
        data = "".join(chr(0x4E00 + number % 2000) for number in range(MIB // 3))
        assert publish(wire_server, stream, data).status == 201
        assert reader.batch()["notifications"][0]["data"] == data

    def test_keeps_due_and_accepted_times(
        self, wire_server: Server, stream: str, read: Read, transport: str
    ) -> None:
        reader = read(wire_server, stream, transport)
        before_us = time.time_ns() // 1000
        publish(wire_server, stream, "named", due_us=123)
        publish(wire_server, stream, "unnamed")
        after_us = time.time_ns() // 1000
        named, unnamed = collect(reader, 2)
        assert named["due_us"] == 123
        assert before_us <= named["accepted_us"] <= after_us
        assert unnamed["due_us"] == unnamed["accepted_us"]

    def test_counts_what_it_serves(
        self, wire_server: Server, stream: str, read: Read, transport: str
    ) -> None:
        reader = read(wire_server, stream, transport)
        publish(wire_server, stream, "x")
        collect(reader, 1)
        until(lambda: stats(wire_server, stream)["transports"][transport]["notifications"] == 1)
        assert stats(wire_server, stream)["transports"][transport]["requests"] >= 1
        assert stats(wire_server, stream)["newest_id"] == 1


def test_all_transports_send_the_same_bytes(wire_server: Server, stream: str, read: Read) -> None:
    publish(wire_server, stream, {"text": 'é\u2028 "quoted"', "number": 1.5})
    publish(wire_server, stream, None)
    bodies = {read(wire_server, stream, name, "otherlife.0").raw_batch() for name in TRANSPORTS}
    assert len(bodies) == 1
    body = bodies.pop()
    assert b"\\u" not in body
    assert json.loads(body)["notifications"][0]["data"]["number"] == 1.5


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_a_gap_is_told_after_overflow(serve: Callable[..., Server], read: Read, model: str) -> None:
    server = serve("--server-model", model, "--max-notifications", "10")
    cursor = publish(server, "main", 0).json["cursor"]
    for number in range(1, 31):
        publish(server, "main", number)
    for transport in TRANSPORTS:
        batch = read(server, "main", transport, cursor).batch()
        assert batch["missed"] == 20
        assert [each["id"] for each in batch["notifications"]] == list(range(22, 32))
    assert stats(server, "main")["oldest_id"] == 22


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_the_epoch_changes_with_a_restart(serve: Callable[..., Server], read: Read, model: str) -> None:
    first, second = serve("--server-model", model), serve("--server-model", model)
    cursor = publish(first, "main", "first life").json["cursor"]
    publish(second, "main", "second life")
    for transport in TRANSPORTS:
        batch = read(second, "main", transport, cursor).batch()
        assert batch["missed"] is None
        assert [each["data"] for each in batch["notifications"]] == ["second life"]
        assert batch["cursor"].split(".")[0] != cursor.split(".")[0]


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_batches_and_logs_are_bounded(serve: Callable[..., Server], read: Read, model: str) -> None:
    server = serve("--server-model", model, "--max-log-bytes", str(16 * MIB))
    cursor = publish(server, "one", "first").json["cursor"]
    for stream in ["one", "other"]:
        for _ in range(12):
            assert publish(server, stream, "x" * MIB).status == 201
    held = [stats(server, stream)["bytes_held"] for stream in ["one", "other"]]
    assert 15 * MIB < sum(held) <= 16 * MIB
    assert held[0] < held[1], "the oldest leave first, whosever they are"
    for transport in TRANSPORTS:
        reader = read(server, "other", transport, "otherlife.0")
        sizes, ids = [], []
        while len(ids) < 12:
            body = reader.raw_batch()
            sizes.append(len(body))
            ids += [each["id"] for each in json.loads(body)["notifications"]]
        assert ids == list(range(1, 13))
        assert max(sizes) <= 8 * MIB + 1024
        batch = read(server, "one", transport, cursor).batch()
        assert batch["missed"] == batch["notifications"][0]["id"] - 2


def test_a_batch_stops_at_ten_thousand(serve: Callable[..., Server], read: Read) -> None:
    server = serve("--max-notifications", "20000")
    with closing(socket.create_connection(server.address)) as connection:
        body = b'{"data":0}'
        request = (
            b"POST /streams/main/notifications HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        writer = threading.Thread(target=connection.sendall, args=(request * 10_003,))
        writer.start()
        answered, end = 0, b""
        while answered < 10_003:
            received = end + connection.recv(MIB)
            answered += received.count(b'"id":')
            end = received[-4:]
        writer.join()
    for transport in TRANSPORTS:
        reader = read(server, "main", transport, "otherlife.0")
        assert [len(reader.batch()["notifications"]) for _ in range(2)] == [10_000, 3]


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_a_slow_reader_delays_nobody_and_is_cut_when_it_takes_nothing(
    serve: Callable[..., Server], read: Read, model: str
) -> None:
    server = serve("--server-model", model, "--send-timeout-s", "1.5")
    stuck = RawWebSocket(server, "/streams/main/websocket", receive_buffer=4096)
    stuck.message()
    readers = {name: read(server, "main", name) for name in TRANSPORTS}
    for number in range(12):
        assert publish(server, "main", chr(97 + number) * MIB).status == 201
        for reader in readers.values():
            batch = reader.batch()
            assert [each["data"][0] for each in batch["notifications"]] == [chr(97 + number)]
    subscribers = lambda: stats(server, "main")["transports"]["websocket"]["subscribers"]  # noqa: E731
    until(lambda: subscribers() == 1, 15)
    assert "Traceback" not in server.log.read_text()
    stuck.close()


def test_a_slow_reader_that_still_reads_gets_everything(wire_server: Server, stream: str, read: Read) -> None:
    slow = RawWebSocket(wire_server, f"/streams/{stream}/websocket", receive_buffer=65536)
    slow.message()
    for number in range(8):
        publish(wire_server, stream, str(number) * MIB)
    time.sleep(0.5)
    ids: list[int] = []
    while len(ids) < 8:
        batch = json.loads(slow.message())
        assert batch["missed"] == 0
        ids += [each["id"] for each in batch["notifications"]]
    assert ids == list(range(1, 9))
    slow.close()


def test_a_pong_does_not_land_inside_a_large_message(wire_server: Server, stream: str) -> None:
    """The peer pings while a message that fills all buffers is being written to it."""
    with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket", receive_buffer=65536)) as client:
        client.message()
        data = "0123456789abcdef" * (MIB // 16)
        for _ in range(6):
            publish(wire_server, stream, data)
        for number in range(5):
            client.socket.sendall(client.wire.send(Ping(payload=b"%d" % number)))
            time.sleep(0.05)
        received, pongs = [], []
        for event in client.events():
            if isinstance(event, BytesMessage):
                received += json.loads(event.data)["notifications"]
            elif isinstance(event, Pong):
                pongs.append(bytes(event.payload))
            if len(received) == 6 and len(pongs) == 5:
                break
        assert [each["data"] == data for each in received] == [True] * 6
        assert pongs == [b"0", b"1", b"2", b"3", b"4"]


def test_a_held_poll_waits_and_is_then_empty(wire_server: Server, stream: str, read: Read) -> None:
    reader = read(wire_server, stream, "long-poll")
    started_s = time.monotonic()
    batch = reader.batch(wait=0.5)
    assert time.monotonic() - started_s >= 0.5
    assert (batch["notifications"], batch["missed"]) == ([], 0)


def test_a_held_poll_whose_body_comes_late_loses_nothing(wire_server: Server, stream: str) -> None:
    """Nobody wants the body; what is published before it has come is answered, and the connection kept."""
    target = b"GET /streams/%b/long-poll?wait=1&after=%b HTTP/1.1\r\n"
    ask = target + b"Host: localhost\r\nContent-Length: 3\r\n\r\n"
    cursor = publish(wire_server, stream, 0).json["cursor"].encode()
    with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
        # More of them than an asgi worker lets go on behind their answers.
        for number in range(1, 20):
            connection.sendall(ask % (stream.encode(), cursor))
            if number == 1:
                time.sleep(0.1)
            cursor = publish(wire_server, stream, number).json["cursor"].encode()
            connection.sendall(b"abc")
            received = b""
            while b'"missed"' not in received:
                received += connection.recv(65536)
            assert b'"data":%d}' % number in received


def test_a_websocket_publishes_on_its_own_connection(wire_server: Server, stream: str) -> None:
    with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
        client.message()
        client.send('{"data":{"up":"stream"},"due_us":5}')
        [notification] = json.loads(client.message())["notifications"]
        assert (notification["data"], notification["due_us"]) == ({"up": "stream"}, 5)


def test_a_websocket_that_leaves_frees_its_place(wire_server: Server, stream: str) -> None:
    clients = [RawWebSocket(wire_server, f"/streams/{stream}/websocket") for _ in range(3)]
    subscribers = lambda: stats(wire_server, stream)["transports"]["websocket"]["subscribers"]  # noqa: E731
    until(lambda: subscribers() == 3)
    clients[0].close()
    clients[1].socket.sendall(clients[1].wire.send(CloseConnection(code=1000)))
    assert clients[1].close_event().code == 1000
    until(lambda: subscribers() == 1)
    for client in clients:
        client.close()


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_past_the_subscriber_limit_only_subscribers_are_refused(
    serve: Callable[..., Server], model: str
) -> None:
    server = serve("--server-model", model, "--max-subscribers", "3")
    clients = [RawWebSocket(server, "/streams/main/websocket") for _ in range(3)]
    refused = [refused_upgrade(server, "/streams/main/websocket") for _ in range(200)]
    refused.append(ask(server, "GET", "/streams/main/long-poll?wait=5"))
    refused.append(refused_upgrade(server, "/echo"))
    for answer in refused:
        assert_problem(answer, 503, "max_subscribers")
        assert int(answer.headers["Retry-After"]) > 0
    assert ask(server, "GET", "/healthz").status == 200
    assert publish(server, "main", "still published").status == 201
    for poll in ("short-poll", "long-poll?wait=0"):
        answer = ask(server, "GET", f"/streams/main/{poll}")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
    for client in clients:
        client.message()
        assert b"still published" in client.message()
        client.close()
    until(lambda: refused_upgrade(server, "/streams/main/websocket", {"Origin": "http://x"}).status == 403)
    until(lambda: stats(server, "main")["transports"]["websocket"]["subscribers"] == 0)
    # Their places are free again.
    others = [RawWebSocket(server, "/streams/main/websocket") for _ in range(3)]
    for other in others:
        assert b"cursor" in other.message()
        other.close()


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_dead_peers_are_found_by_ping(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--ping-interval-s", "0.5")
    silent = RawWebSocket(server, "/streams/main/websocket")
    alive = RawWebSocket(server, "/streams/main/websocket")
    pinged = threading.Thread(target=lambda: [None for _ in zip(range(6), answer_pings(alive), strict=False)])
    pinged.start()
    until(lambda: stats(server, "main")["transports"]["websocket"]["subscribers"] == 1)
    pinged.join()
    assert stats(server, "main")["transports"]["websocket"]["subscribers"] == 1
    silent.close()
    alive.close()


def answer_pings(client: RawWebSocket) -> Iterator[None]:
    for event in client.events():
        if isinstance(event, Ping):
            client.socket.sendall(client.wire.send(event.response()))
            yield


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_clients_that_do_not_close_delay_nobody(serve: Callable[..., Server], model: str) -> None:
    """Each of them is lingered for, two seconds, beside the others and not one after another."""
    server = serve("--server-model", model, "--max-subscribers", "1")
    kept = [RawWebSocket(server, "/streams/main/websocket")]
    upgrade = (
        "GET /streams/main/websocket HTTP/1.1\r\nHost: localhost\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    refused = [socket.create_connection(server.address, timeout=10) for _ in range(30)]
    for connection in refused:
        connection.sendall(upgrade.encode())
    for connection in refused:
        assert connection.recv(100).startswith(b"HTTP/1.1 503")
    started_s = time.monotonic()
    for _ in range(10):
        assert ask(server, "GET", "/healthz").status == 200
    assert time.monotonic() - started_s < 8, "one after another they took a minute"
    for client in [*kept, *refused]:
        client.close()


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_stalled_readers_hold_no_copies(serve: Callable[..., Server], model: str) -> None:
    """Forty of them, two at each of twenty cursors, before a log of 40 MiB."""
    server = serve("--server-model", model)
    for _ in range(40):
        publish(server, "main", "x" * (MIB - 100))
    epoch = stats(server, "main")["epoch"]
    worker = serving_process(server.process.pid)

    def resident_mib() -> float:
        return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096 / MIB

    before_mib = resident_mib()
    stalled: list[RawWebSocket | socket.socket] = []
    for number in range(20):
        path = f"/streams/main/%s?after={epoch}.{number}"
        stalled.append(RawWebSocket(server, path % "websocket", receive_buffer=4096))
        poll = socket.socket()
        poll.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        poll.connect(server.address)
        poll.sendall(f"GET {path % 'short-poll'} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        stalled.append(poll)
    time.sleep(0.5)
    assert ask(server, "GET", "/healthz").status == 200
    assert resident_mib() - before_mib < 60, "a batch each would be 320 MiB"
    for client in stalled:
        client.close()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_stopping_answers_held_polls_and_closes_websockets(
    serve: Callable[..., Server], model: str, stop: signal.Signals
) -> None:
    server = serve("--server-model", model)
    clients = [RawWebSocket(server, path) for path in ["/streams/main/websocket", "/echo"]]
    held: list[Answer] = []
    poll = threading.Thread(target=lambda: held.append(ask(server, "GET", "/streams/main/long-poll?wait=60")))
    poll.start()
    until(lambda: stats(server, "main")["transports"]["long-poll"]["subscribers"] == 1)
    started_s = time.monotonic()
    server.process.send_signal(stop)
    assert [client.close_event().code for client in clients] == [1001, 1001]
    poll.join()
    assert time.monotonic() - started_s < 3
    assert held[0].json["notifications"] == []
    assert held[0].headers["Connection"] == "close"
    for client in clients:
        client.close()
    assert server.process.wait(15) == 0
    assert "Traceback" not in server.log.read_text()


def assert_problem(answer: Answer, status: int, words: str) -> None:
    """An answer of RFC 9457 whose sentence tells what to mend."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert words in answer.json["detail"]
    assert answer.json["detail"].endswith(".")


BAD_CURSORS = ["", "x", "main", "é.1", "A.1", "a.01", "a.-1", "a.1.2", "a. 1", "a" * 17 + ".1"]
BAD_CURSORS += ["a.1" + "0" * 16, "a" * 5000]
BAD_WAITS = ["", "x", "-1", "nan", "inf", "1e1", "60.001", "61", "1" * 30]
BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "not JSON"),
    (b"{", 400, "not JSON"),
    (b"\xff\xfe{}", 400, "UTF-8"),
    (b"[]", 400, '"data"'),
    (b'"data"', 400, '"data"'),
    (b"{}", 400, '"data"'),
    (b'{"data":1,"datum":2}', 400, "datum"),
    (b'{"data":NaN}', 400, "NaN"),
    (b'{"data":[{"deep":-Infinity}]}', 400, "Infinity"),
    (b'{"data":[1e400]}', 400, "infinite"),
    (b'{"data":"\\ud800"}', 400, "surrogate"),
    (b'{"data":{"\\udfff":1}}', 400, "surrogate"),
    (b'{"data":' + b"[" * 101 + b"]" * 101 + b"}", 400, "nested"),
    (b'{"data":' + b"[" * 200_000, 400, "nested"),
    (b'{"data":' + b"9" * 5000 + b"}", 400, "not JSON"),
    (b'{"data":1,"due_us":-1}', 400, "due_us"),
    (b'{"data":1,"due_us":9007199254740992}', 400, "due_us"),
    (b'{"data":1,"due_us":1.5}', 400, "due_us"),
    (b'{"data":1,"due_us":true}', 400, "due_us"),
    (b'{"data":1,"due_us":null}', 400, "due_us"),
    (b'{"data":1,"due_us":"1"}', 400, "due_us"),
    (b'{"data":"' + b"x" * (2 * MIB) + b'"}', 413, "max_notification_bytes"),
    (b'{"data":"' + b"x" * (17 * MIB) + b'"}', 413, "max_notification_bytes"),
]


class TestBadInput:
    """Every bad input gets its 4xx with a sentence, and the server goes on serving."""

    @pytest.fixture(autouse=True)
    def goes_on_serving(self, wire_server: Server) -> Iterator[None]:
        yield
        assert ask(wire_server, "GET", "/healthz").status == 200
        assert "Traceback" not in wire_server.log.read_text()

    @pytest.mark.parametrize("transport", WITH_TARGETS)
    @pytest.mark.parametrize("cursor", BAD_CURSORS)
    def test_cursors(self, wire_server: Server, stream: str, transport: str, cursor: str) -> None:
        path = f"/streams/{stream}/{transport}?after={quoted(cursor)}"
        answer = (refused_upgrade if transport == "websocket" else get)(wire_server, path)
        if len(cursor) < 4000:
            assert_problem(answer, 400, "after")
        else:
            assert answer.status in (400, 414)
            assert answer.headers["Content-Type"] == "application/problem+json"

    @pytest.mark.parametrize("transport", WITH_TARGETS)
    def test_a_cursor_beyond_the_head(self, wire_server: Server, stream: str, transport: str) -> None:
        epoch = publish(wire_server, stream, 1).json["cursor"].split(".")[0]
        path = f"/streams/{stream}/{transport}?after={epoch}.2"
        answer = (refused_upgrade if transport == "websocket" else get)(wire_server, path)
        assert_problem(answer, 400, "beyond the head")

    @pytest.mark.parametrize("wait", BAD_WAITS)
    def test_waits(self, wire_server: Server, stream: str, wait: str) -> None:
        assert_problem(get(wire_server, f"/streams/{stream}/long-poll?wait={wait}"), 400, "wait")

    @pytest.mark.parametrize("name", ["UPPER", "a_b", "%C3%A9", "a" * 65, "a%20b"])
    def test_stream_names(self, wire_server: Server, name: str) -> None:
        assert_problem(get(wire_server, f"/streams/{name}/stats"), 400, "name")

    @pytest.mark.parametrize(("body", "status", "words"), BAD_BODIES, ids=range(len(BAD_BODIES)))
    def test_bodies(self, wire_server: Server, stream: str, body: bytes, status: int, words: str) -> None:
        headers = {"Content-Type": "application/json"}
        answer = ask(wire_server, "POST", f"/streams/{stream}/notifications", body, headers)
        assert_problem(answer, status, words)
        assert stats(wire_server, stream)["newest_id"] is None

    @pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_media_types(self, wire_server: Server, stream: str, media_type: str) -> None:
        headers = {"Content-Type": media_type} if media_type else {}
        answer = ask(wire_server, "POST", f"/streams/{stream}/notifications", b'{"data":1}', headers)
        assert_problem(answer, 415, "application/json")

    @pytest.mark.parametrize("path", ["/streams/{}/websocket", "/echo"])
    @pytest.mark.parametrize(
        ("headers", "status", "words"),
        [
            ({"Upgrade": ""}, 426, "Upgrade"),
            ({"Connection": "", "Upgrade": ""}, 426, "Upgrade"),
            ({"Sec-WebSocket-Version": ""}, 426, "13"),
            ({"Sec-WebSocket-Version": "8"}, 426, "13"),
            ({"Sec-WebSocket-Key": ""}, 400, "Sec-WebSocket-Key"),
            ({"Sec-WebSocket-Key": "short"}, 400, "Sec-WebSocket-Key"),
            ({"Origin": "http://elsewhere.example"}, 403, "Origin"),
            ({"Origin": "null"}, 403, "Origin"),
            ({"Origin": "https://127.0.0.1"}, 403, "Origin"),
        ],
    )
    def test_upgrades(
        self, wire_server: Server, stream: str, path: str, headers: dict[str, str], status: int, words: str
    ) -> None:
        answer = refused_upgrade(wire_server, path.format(stream), headers)
        assert_problem(answer, status, words)
        if status == 426:
            assert answer.headers["Sec-WebSocket-Version"] == "13"

    @pytest.mark.parametrize(
        ("message", "code", "words"),
        [
            (b"binary", 1003, "text"),
            ("not JSON", 1007, "JSON"),
            ("[]", 1007, '"data"'),
            ('{"data":NaN}', 1007, "NaN"),
            ('{"data":"\\ud800"}', 1007, "surrogate"),
            ('{"data":1,"due_us":-1}', 1007, "due_us"),
            ('{"data":"' + "x" * (3 * MIB) + '"}', 1009, "max_notification_bytes"),
            ('{"data":"' + "x" * (17 * MIB) + '"}', 1009, "bytes"),
        ],
        ids=range(8),
    )
    def test_messages(
        self, wire_server: Server, stream: str, message: str | bytes, code: int, words: str
    ) -> None:
        with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
            client.message()
            client.send(message)
            closed = client.close_event()
            assert closed.code == code
            assert words in (closed.reason or "")

    def test_a_message_that_is_not_utf8(self, wire_server: Server, stream: str) -> None:
        with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
            client.message()
            client.socket.sendall(b"\x81\x82\x00\x00\x00\x00\xc3\x28")
            assert client.close_event().code == 1007

    @pytest.mark.parametrize(
        "request_bytes",
        [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"],
    )
    def test_what_is_not_http(self, wire_server: Server, request_bytes: bytes) -> None:
        with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
            connection.sendall(request_bytes)
            answer = b""
            while received := connection.recv(65536):
                answer += received
        assert answer.startswith(b"HTTP/1.1 4")
        assert b"application/problem+json" in answer

    def test_truncated_and_badly_chunked_bodies(self, wire_server: Server, stream: str) -> None:
        head = (
            f"POST /streams/{stream}/notifications HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\n"
        )
        for rest, words in [
            ('Content-Length: 20\r\n\r\n{"data":1}', b"of 20 bytes"),
            ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"chunked"),
            ("Transfer-Encoding: chunked\r\n\r\n5\r\n{", b"last chunk"),
        ]:
            with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
                connection.sendall((head + rest).encode())
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while received := connection.recv(65536):
                    answer += received
            assert answer.startswith(b"HTTP/1.1 400")
            assert words in answer
        assert stats(wire_server, stream)["newest_id"] is None

    def test_what_http_asks_of_a_request(self, wire_server: Server, stream: str) -> None:
        upgrade = (
            f"GET /streams/{stream}/websocket HTTP/1.0\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
        for request, words in [("GET /healthz HTTP/1.1\r\n\r\n", b"Host"), (upgrade, b"HTTP/1.1")]:
            with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
                connection.sendall(request.encode())
                answer = connection.recv(65536)
            assert answer.split(b" ")[1] == b"400"
            assert words in answer
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = ask(wire_server, "POST", f"/streams/{stream}/notifications", b"x", headers)
        assert_problem(answer, 415, "Content-Encoding")

    @pytest.mark.parametrize("joined_first", [True, False])
    def test_what_was_accepted_before_a_bad_message_is_delivered(
        self, wire_server: Server, stream: str, joined_first: bool
    ) -> None:
        with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
            if joined_first:
                client.message()
            messages = [client.wire.send(Message(data=text)) for text in ['{"data":1}', "bad", '{"data":2}']]
            client.socket.sendall(b"".join(messages))
            received: list[Any] = []
            for event in client.events():
                if isinstance(event, CloseConnection):
                    assert event.code == 1007
                    break
                assert isinstance(event, BytesMessage)
                received += json.loads(event.data)["notifications"]
            assert [each["data"] for each in received] == [1]
        assert stats(wire_server, stream)["newest_id"] == 1

    def test_unknown_paths_and_methods(self, wire_server: Server, stream: str) -> None:
        assert_problem(get(wire_server, "/nowhere"), 404, "")
        answer = ask(wire_server, "DELETE", f"/streams/{stream}/stats")
        assert_problem(answer, 405, "")
        assert "GET" in answer.headers["Allow"]


def get(server: Server, path: str) -> Answer:
    return ask(server, "GET", path)


def quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode()) if len(text) < 4000 else text


def test_foreign_origins_are_allowed_by_option(serve: Callable[..., Server]) -> None:
    server = serve("--allow-origin", "http://allowed.example")
    host, port = server.address
    for origin, status in [
        ("http://allowed.example", 101),
        (f"http://{host}:{port}", 101),
        ("http://other.example", 403),
    ]:
        with closing(socket.create_connection(server.address, timeout=10)) as connection:
            connection.sendall(
                f"GET /streams/main/websocket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
                f"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
                f"Sec-WebSocket-Version: 13\r\nOrigin: {origin}\r\n\r\n".encode()
            )
            answer = connection.recv(65536).decode(errors="replace")
        assert answer.startswith(f"HTTP/1.1 {status} ")
        # The example key of RFC 6455, section 1.3, and its answer.
        assert ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer) == (status == 101)


def test_streams_are_bounded_and_the_longest_unused_goes(serve: Callable[..., Server]) -> None:
    server = serve("--max-streams", "2")
    first = publish(server, "first", 1).json["cursor"]
    publish(server, "second", 1)
    with closing(RawWebSocket(server, "/streams/first/websocket")):
        publish(server, "third", 1)
        assert stats(server, "first")["epoch"] == first.split(".")[0], "it has a subscriber"
        with closing(RawWebSocket(server, "/streams/third/websocket")):
            assert_problem(get(server, "/streams/fourth/short-poll"), 503, "max_streams")
            assert ask(server, "GET", "/healthz").status == 200


def test_echo_by_post_and_by_websocket(wire_server: Server) -> None:
    answer = ask(wire_server, "POST", "/echo", b"\x00\xff", {"Content-Type": "application/octet-stream"})
    assert (answer.status, answer.body) == (200, b"\x00\xff")
    with closing(RawWebSocket(wire_server, "/echo")) as client:
        for message in ["text", b"\x00\xff", "", "x" * (2 * MIB)]:
            client.send(message)
            expected = message.encode() if isinstance(message, str) else message
            assert client.message() == expected


def test_rude_clients_leave_no_traceback(wire_server: Server, stream: str) -> None:
    """They reset their connections in the middle of everything."""
    address = wire_server.address
    upgrade = (
        f"GET /streams/{stream}/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    ).encode()
    poll = f"GET /streams/{stream}/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    begun = f"POST /streams/{stream}/notifications HTTP/1.1\r\nContent-Length: 9\r\n\r\nx".encode()
    for beginning in [
        b"",
        b"GET /healthz HT",
        begun,
        (poll % "short-poll").encode() * 3,
        (poll % "long-poll?wait=1").encode(),
        upgrade,
        upgrade + b"\x81\xfe\xff",
        upgrade + b"\x82\x80\x00\x00\x00\x00",
    ]:
        for pause_s in [0, 0.05]:
            with closing(socket.create_connection(address)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(beginning)
                time.sleep(pause_s)
            publish(wire_server, stream, "x" * 100_000)

    def subscribers() -> int:
        return sum(each["subscribers"] for each in stats(wire_server, stream)["transports"].values())

    until(lambda: subscribers() == 0)
    assert "Traceback" not in wire_server.log.read_text()


def test_head_has_the_headers_and_no_body(wire_server: Server, stream: str) -> None:
    publish(wire_server, stream, "x")
    answer = ask(wire_server, "HEAD", f"/streams/{stream}/short-poll?after=otherlife.0")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 50
    assert "no-body" not in wire_server.log.read_text()
