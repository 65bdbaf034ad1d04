"""Peers that send half, slowly, too much or without pause: they are bounded, and nobody else waits."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

import psutil
import pytest
from conftest import Server, leave_server, start_server
from models import ON_THE_WIRE, serving_process
from raw import ask, publish

from servers import socket_options
from servers.rules.heads import Head

pytestmark = pytest.mark.long

TIMEOUT_S = 30.0
PUBLISH = (
    b"POST /streams/main/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF_SENT = {
    "a head": b"GET /healthz HTTP/1.1\r\nHost: local",
    "a first line": b"GET /hea",
    "an empty line": b"\r\n",
    "a body": PUBLISH + b'Content-Length: 30\r\n\r\n{"data"',
    "an echo's body": b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nab",
    "a chunk": PUBLISH + b'Transfer-Encoding: chunked\r\n\r\n7\r\n{"data',
    "a chunk's size": PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n7",
    "a trailer": PUBLISH + b'Transfer-Encoding: chunked\r\n\r\na\r\n{"data":1}\r\n0\r\nX: ',
}


def connect(server: Server) -> socket.socket:
    return socket.create_connection(server.address, timeout=TIMEOUT_S)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


@pytest.fixture(scope="module", params=ON_THE_WIRE)
def impatient(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Server:
    log = tmp_path_factory.mktemp("impatient") / "server.log"
    started = start_server(
        log, "--server-model", request.param, "--request-timeout-s", "1", "--max-subscribers", "5"
    )
    request.addfinalizer(lambda: leave_server(started))
    return started


def test_what_is_half_sent_is_cut_and_told(impatient: Server) -> None:
    """Also what goes on dripping, and what follows a request that was whole."""
    with ExitStack() as stack:
        waiting = {}
        for kind, sent in HALF_SENT.items():
            for first in (b"", ASK):
                waiting[kind, first] = stack.enter_context(closing(connect(impatient)))
                waiting[kind, first].sendall(first + sent)
        dripping = stack.enter_context(closing(connect(impatient)))
        dripping.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        began_s = time.monotonic()
        while time.monotonic() - began_s < TIMEOUT_S:
            try:
                dripping.sendall(b"x")
                time.sleep(0.1)
            except OSError:
                break
        assert time.monotonic() - began_s < TIMEOUT_S / 2, "dripping bytes keep no place"
        for (kind, first), connection in waiting.items():
            answer = read_all(connection)
            if first:
                assert answer.startswith(b"HTTP/1.1 200 "), kind
                answer = answer[answer.index(b"ok\n") + 3 :]
            assert answer.startswith(b"HTTP/1.1 408 "), (kind, answer)
            assert b"application/problem+json" in answer, kind
            assert b"request_timeout_s" in answer, kind
    assert "Traceback" not in impatient.log.read_text()


def test_a_connection_that_asks_nothing_is_closed_without_a_word(impatient: Server) -> None:
    with closing(connect(impatient)) as silent:
        assert read_all(silent) == b""


def test_a_slow_body_that_goes_on_is_waited_for(impatient: Server) -> None:
    """The more has come the longer is waited: what comes at a megabyte a second is not late."""
    with closing(connect(impatient)) as slow:
        size = 1 << 20
        slow.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(16):
            slow.sendall(bytes(size // 16))
            time.sleep(0.15)
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("kind", ["a head", "a body", "a chunk", "nothing", "an answered request"])
def test_there_is_room_whoever_sends_half(impatient: Server, kind: str) -> None:
    """So many that neither threads nor connections would do for all, if each kept its place."""
    sent = HALF_SENT | {
        "nothing": b"",
        "an answered request": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    }
    with ExitStack() as stack:
        for number in range(150):
            stack.enter_context(closing(connect(impatient))).sendall(sent[kind])
            if number % 30 == 29:
                assert ask(impatient, "GET", "/healthz").status == 200
                assert publish(impatient, "main", number).status == 201


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_there_is_room_for_long(serve: Callable[..., Server], model: str) -> None:
    """With the limits that are the default's, so it is room that is made and not time that passes."""
    server = serve("--server-model", model, "--max-subscribers", "20")
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(server))) for _ in range(500)]
        for piece in (b"GET /healthz HTTP/1.1\r\n", b"X-", b"Slow: "):
            for each in slow:
                try:
                    each.sendall(piece)
                except OSError:
                    pass
            assert ask(server, "GET", "/healthz").status == 200
            assert publish(server, "main", 1).status == 201
        answer = read_all(slow[0])
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    "request_bytes",
    [
        ASK,
        PUBLISH + b'Content-Length: 10\r\n\r\n{"data":1}',
        # Reads that end with the request: nothing of the next is at hand when it is answered.
        PUBLISH + b"Content-Length: 20000\r\n\r\n" + b'{"data":1}'.ljust(20000),
        PUBLISH + b'Transfer-Encoding: chunked\r\n\r\na\r\n{"data":1}\r\n0\r\n\r\n',
    ],
    ids=["polls", "publishes", "large publishes", "chunked publishes"],
)
def test_who_pipelines_without_pause_takes_turns(wire_server: Server, request_bytes: bytes) -> None:
    """A bystander is answered many times while the flood goes on, not once when it is over."""
    flooder = connect(wire_server)
    # What it has sent already is dropped at its end.
    flooder.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    answered = []

    def send() -> None:
        with suppress(OSError):
            while True:
                flooder.sendall(request_bytes * 20)

    def receive() -> None:
        count = 0
        with suppress(OSError):
            while piece := flooder.recv(1 << 16):
                count += piece.count(b"HTTP/1.1 20")
                answered.append(count)

    flooding = [threading.Thread(target=each) for each in (send, receive)]
    for each in flooding:
        each.start()
    bystander = http.client.HTTPConnection(*wire_server.address, timeout=TIMEOUT_S)
    try:
        while not answered:
            time.sleep(0.01)
        seen = []
        for _ in range(40):
            bystander.request("GET", "/healthz")
            assert bystander.getresponse().read() == b"ok\n"
            seen.append(answered[-1])
        assert (seen[-1] - seen[0]) / 40 < 500, "how many of the flood's each of ours waited for"
        while answered[-1] == seen[-1]:
            time.sleep(0.01)
    finally:
        bystander.close()
        flooder.shutdown(socket.SHUT_RDWR)
        for each in flooding:
            each.join()
        flooder.close()


def head(fields: int, total: int) -> bytes:
    """A request with so many fields, whose head has so many bytes."""
    lines = [
        b"GET /healthz HTTP/1.1",
        b"Host: localhost",
        *(b"X-%d: " % number for number in range(fields - 1)),
    ]
    missing = total - len(b"\r\n".join(lines)) - 4
    for number in range(2, len(lines)):
        share = min(missing, 8000)
        lines[number] += b"x" * share
        missing -= share
    assert missing == 0
    return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head(100, 3000), 200),
        (head(101, 3000), 431),
        (head(2000, 25000), 431),
        (head(20, 32 * 1024), 200),
        (head(20, 32 * 1024 + 1), 431),
        (head(100, 600_000), 431),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 8190 + b"\r\n\r\n", 431),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000, 431),
        (b"GET /" + b"x" * 8190 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /" + b"x" * 100_000, 414),
        (PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 101 + b"\r\n", 400),
        (PUBLISH + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 60_000, 400),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_heads_are_bounded_in_fields_and_in_all(wire_server: Server, sent: bytes, status: int) -> None:
    with closing(connect(wire_server)) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    if status == 431:
        assert b"32768 bytes" in answer
        assert b"100 fields" in answer
        assert b"8190 bytes" in answer
    if status == 414:
        assert b"8190 bytes" in answer


def test_a_large_head_costs_what_a_few_small_ones_do(wire_server: Server) -> None:
    """A hundred fields of 8 kB were 35 ms of CPU each before their answer."""
    worker = serving_process(wire_server.process.pid)

    def cpu_s(sent: bytes, times: int) -> float:
        before = psutil.Process(worker).cpu_times()
        for _ in range(times):
            with closing(connect(wire_server)) as connection:
                try:
                    connection.sendall(sent)
                    connection.recv(65536)
                except OSError:
                    pass
        after = psutil.Process(worker).cpu_times()
        return after.user + after.system - before.user - before.system

    small_s = cpu_s(head(5, 300), 300)
    assert cpu_s(head(100, 600_000), 60) < max(small_s, 0.1) * 2


def test_a_head_in_small_pieces_is_looked_through_once() -> None:
    whole = head(100, 30_000)
    for size in (1, 2, 3, 7, 4096):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        read = Head()
        assert [read.is_read(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert bytes(read) == whole


@pytest.mark.parametrize("pieces", [[b"GET / HTTP/1.1\n"], [b"GET / HTTP/1.1\r", b"\nA: b", b"\n"]])
def test_a_bare_line_feed_ends_the_wait(pieces: list[bytes]) -> None:
    read = Head()
    assert [read.is_read(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_accepted_sockets_are_kept_alive_and_timed() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        socket_options.set_options(listener, 1.5)
        with (
            closing(socket.create_connection(listener.getsockname())),
            closing(listener.accept()[0]) as accepted,
        ):
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_options_that_a_system_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"):
        monkeypatch.delattr(socket, name)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        socket_options.set_options(listener, 1.5)
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
