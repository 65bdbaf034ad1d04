"""What server-sent events have of their own on the wire (WHATWG HTML, section 9.2)."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from conftest import Server
from models import ON_THE_WIRE
from raw import EventReader, ask, publish, stats
from waiting import until


def subscribers(server: Server, stream: str) -> int:
    return int(stats(server, stream)["transports"]["sse"]["subscribers"])


@pytest.fixture
def opened(wire_server: Server) -> Iterator[Callable[..., EventReader]]:
    """Open event streams that are closed at the test's end."""
    readers: list[EventReader] = []

    def open_reader(stream: str, **options: object) -> EventReader:
        readers.append(EventReader(wire_server, stream, **options))  # type: ignore[arg-type]
        return readers[-1]

    yield open_reader
    for reader in readers:
        reader.close()


def test_an_event_is_a_batch_and_its_cursor(wire_server: Server) -> None:
    publish(wire_server, "sse-form", "before")
    with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
        connection.sendall(b"GET /streams/sse-form/sse?after=other.1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"\n\n\r\n"):
            received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in headers
    size, _, chunk = body.partition(b"\r\n")
    event = chunk[: int(size, 16)]
    assert chunk[int(size, 16) :] == b"\r\n"
    poll = ask(wire_server, "GET", "/streams/sse-form/short-poll?after=other.1")
    assert event == b"id: %b\ndata: %b\n\n" % (poll.json["cursor"].encode(), poll.body)


def test_what_was_seen_last_goes_before_after(
    wire_server: Server, opened: Callable[..., EventReader]
) -> None:
    """A browser's EventSource asks for the same target again, and tells in a header what it saw last."""
    cursors = [publish(wire_server, "sse-seen", number).json["cursor"] for number in range(4)]
    reader = opened("sse-seen", after=cursors[0], headers={"Last-Event-ID": cursors[2]})
    assert [each["data"] for each in reader.batch()["notifications"]] == [3]


@pytest.mark.parametrize("seen", ["", "x", "a.01", "a.1, a.2"])
def test_a_bad_last_event_id_is_refused(wire_server: Server, seen: str) -> None:
    answer = ask(wire_server, "GET", "/streams/sse-bad/sse", headers={"Last-Event-ID": seen})
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_two_last_event_ids_are_refused(wire_server: Server) -> None:
    with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
        lines = "GET /streams/sse-bad/sse HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        connection.sendall(f"{lines}Last-Event-ID: a.1\r\nLast-Event-ID: a.1\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "query", ["after=&x", "heartbeat=0", "heartbeat=61", "heartbeat=1&heartbeat=1", "after=a.1&after=a.1"]
)
def test_bad_arguments_are_refused(wire_server: Server, query: str) -> None:
    assert ask(wire_server, "GET", f"/streams/sse-bad/sse?{query}").status == 400


def test_a_head_takes_no_place(wire_server: Server) -> None:
    answer = ask(wire_server, "HEAD", "/streams/sse-head/sse")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Content-Length"] is None
    assert stats(wire_server, "sse-head")["transports"]["sse"]["requests"] == 0


def test_a_reader_that_leaves_frees_its_place(
    wire_server: Server, opened: Callable[..., EventReader]
) -> None:
    """One closes, one shuts its sending side, one stays."""
    closes, shuts, _ = (opened("sse-leave") for _ in range(3))
    until(lambda: subscribers(wire_server, "sse-leave") == 3)
    closes.close()
    until(lambda: subscribers(wire_server, "sse-leave") == 2)
    assert shuts.connection.sock
    shuts.connection.sock.shutdown(socket.SHUT_WR)
    until(lambda: subscribers(wire_server, "sse-leave") == 1)


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_comments_come_as_often_as_pings_and_heartbeats_as_asked(
    serve: Callable[..., Server], model: str
) -> None:
    server = serve("--server-model", model, "--ping-interval-s", "0.4")
    head = publish(server, "main", "before").json["cursor"]
    with closing(EventReader(server, "main", query="heartbeat=1")) as asked:
        empty = [asked.batch() for _ in range(2)]
        assert empty == [{"notifications": [], "cursor": head, "missed": 0}] * 2
        assert 3 <= asked.comments <= 7
        publish(server, "main", "news")
        assert [each["data"] for each in asked.batch()["notifications"]] == ["news"]
    with closing(EventReader(server, "main")) as unasked:
        time.sleep(1.5)
        publish(server, "main", "news")
        assert [each["data"] for each in unasked.batch()["notifications"]] == ["news"]
        assert 2 <= unasked.comments <= 4


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_a_reader_that_takes_nothing_is_cut(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--send-timeout-s", "1.5")
    with closing(socket.socket()) as stuck, closing(EventReader(server, "main")) as reader:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(server.address)
        stuck.sendall(b"GET /streams/main/sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: subscribers(server, "main") == 2)
        for number in range(8):
            assert publish(server, "main", chr(97 + number) * (1 << 20)).status == 201
            assert [each["data"][0] for each in reader.batch()["notifications"]] == [chr(97 + number)]
        until(lambda: subscribers(server, "main") == 1, 15)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_a_full_server_refuses_another(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--max-subscribers", "1")
    with closing(EventReader(server, "main")):
        answer = ask(server, "GET", "/streams/main/sse")
        assert answer.status == 503
        assert "max_subscribers" in answer.json["detail"]
        assert int(answer.headers["Retry-After"]) > 0
        # A place that was refused was not taken.
        assert ask(server, "GET", "/healthz").status == 200
    until(lambda: subscribers(server, "main") == 0)
    EventReader(server, "main").close()


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_ends_whole_when_the_server_stops(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model)
    with closing(EventReader(server, "main")) as reader:
        began_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        # Its last chunk says that nothing is missing: a cut would raise IncompleteRead.
        assert reader.response.read() in (b"",)
        assert server.process.wait(10) == 0
        assert time.monotonic() - began_s < 3.5
    assert "Traceback" not in server.log.read_text()


def test_a_connection_that_has_asked_before_stays_open(wire_server: Server) -> None:
    """HTTP/1.0 ends a body by the connection's end: not before the stream's."""
    asks = b"Host: localhost\r\nConnection: keep-alive\r\n\r\n"
    for number in range(2):
        with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n" + asks)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            connection.sendall(b"GET /streams/sse-again/sse HTTP/1.0\r\n" + asks)
            received = b""
            for awaited in (b'"notifications":[]', b'"data":%d' % number):
                while awaited not in received:
                    came = connection.recv(65536)
                    assert came, "it ended"
                    received += came
                if b"data" not in awaited:
                    assert publish(wire_server, "sse-again", number).status == 201


def test_one_point_zero_is_sent_no_chunks(wire_server: Server) -> None:
    with closing(socket.create_connection(wire_server.address, timeout=10)) as connection:
        connection.sendall(b"GET /streams/sse-old/sse HTTP/1.0\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"\n\n"):
            received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body.startswith(b"id: ")
