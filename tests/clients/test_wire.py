"""Arrival stamps and wire counts, against what real sockets did."""

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from clients import wire
from clients.wire import Connection, Endpoint, WireCounts, parse_tcp_info


def tcp_info(state: int, sent: int, received: int, segments: tuple[int, int], length: int = 280) -> bytes:
    """Build a struct tcp_info by its fields, one after the other, as linux/tcp.h lists them."""
    head = struct.pack("=8B", state, 0, 0, 0, 0, 0, 0, 0)
    first = struct.pack("=24I", *[7] * 24)  # tcpi_rto … tcpi_total_retrans
    rates = struct.pack("=QQQQ", 8, 8, sent + 1, received)  # pacing_rate, max_…, bytes_acked, bytes_received
    then = struct.pack("=IIIIII", *segments, 0, 9, 9, 9)  # segs_out, segs_in, notsent, min_rtt, data_segs ×2
    busy = struct.pack("=QQQQ", 1, 2, 3, 4)  # delivery_rate, busy_time, rwnd_limited, sndbuf_limited
    delivered = struct.pack("=II", 5, 6)  # delivered, delivered_ce
    last = struct.pack("=QQ", sent, 0)  # bytes_sent, bytes_retrans
    return (head + first + rates + then + busy + delivered + last).ljust(300, b"\0")[:length]


def test_tcp_info_is_read_at_the_right_offsets() -> None:
    """Each count comes from its own field."""
    assert parse_tcp_info(tcp_info(1, 1000, 2000, (30, 40))) == WireCounts(1000, 2000, 30, 40)


@pytest.mark.parametrize("state", [6, 8, 9, 11])
def test_the_peers_fin_is_no_payload(state: int) -> None:
    """tcpi_bytes_received counts a FIN as one byte."""
    counts = parse_tcp_info(tcp_info(state, 1000, 2001, (30, 40)))
    assert counts is not None
    assert counts.bytes_received == 2000


def test_an_older_kernel_is_not_measured() -> None:
    """What ends before tcpi_bytes_sent (Linux 4.19) gives None, not zeros."""
    assert parse_tcp_info(tcp_info(1, 1, 1, (1, 1), length=200)) is None
    assert parse_tcp_info(tcp_info(1, 1, 1, (1, 1), length=208)) is not None


def test_counts_add_and_subtract() -> None:
    """Windows are differences, and connections add up."""
    first, second = WireCounts(1, 2, 3, 4), WireCounts(10, 20, 30, 40)
    assert first + second == WireCounts(11, 22, 33, 44)
    assert second - first == WireCounts(9, 18, 27, 36)


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its peer's socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection()
        connection.connect(listener.getsockname())
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection, peer
        connection.close()
        peer.close()


def wait_for_bytes(connection: Connection, count: int) -> None:
    """Wait until the kernel has them."""
    deadline = time.monotonic() + 10
    while (counts := connection.counts()) is not None and counts.bytes_received < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_counts_are_exact_payload_bytes(pair: tuple[Connection, socket.socket]) -> None:
    """What was sent and received, neither SYN nor FIN counted as a byte."""
    connection, peer = pair
    before = connection.counts()
    assert before is not None
    assert before[:2] == (0, 0)
    connection.send(b"x" * 1234)
    peer.sendall(b"y" * 4321)
    peer.shutdown(socket.SHUT_WR)
    received = b""
    while data := connection.receive():
        received += data
    after = connection.counts()
    assert after is not None
    assert len(received) == 4321
    assert (after.bytes_sent, after.bytes_received) == (1234, 4321)
    assert after.segments_sent > before.segments_sent
    assert after.segments_received > before.segments_received


def test_arrival_is_stamped_when_it_arrives_and_not_when_it_is_read(
    pair: tuple[Connection, socket.socket],
) -> None:
    """A reader that comes late sees by how much."""
    connection, peer = pair
    # The kernel begins to stamp a moment after it was first asked to.
    for _ in range(100):
        peer.sendall(b".")
        connection.receive()
        if connection.stamped:
            break
        time.sleep(0.01)
    assert connection.stamped
    before_us = time.time_ns() // 1000
    peer.sendall(b"hello")
    wait_for_bytes(connection, 6)
    after_us = time.time_ns() // 1000
    time.sleep(0.2)
    assert connection.receive() == b"hello"
    assert before_us <= connection.received_us <= after_us
    assert connection.handled_us - connection.received_us >= 190_000


def test_a_process_that_keeps_stamping_gets_its_first_bytes_stamped() -> None:
    """From its first connection on, whoever else asks for stamps or does not."""
    code = (
        "import socket; from clients.wire import Connection, keep_stamping\n"
        "keep_stamping(20)\n"
        "listener = socket.create_server(('127.0.0.1', 0)); connection = Connection()\n"
        "connection.connect(listener.getsockname()); peer, _ = listener.accept()\n"
        "peer.send(b'x'); connection.receive(); print(connection.stamped)\n"
        "for each in (peer, listener, connection): each.close()"
    )
    line = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout == "True\n"


def test_without_a_stamp_handling_time_stands_in(
    pair: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so."""
    connection, _ = pair
    monkeypatch.setattr(connection, "_recvmsg", lambda *_: (b"zzz", [], 0, None))
    assert connection.receive() == b"zzz"
    assert not connection.stamped
    assert connection.received_us == connection.handled_us > 0


def test_shutdown_wakes_a_reader_and_writing_still_works(pair: tuple[Connection, socket.socket]) -> None:
    """So can a WebSocket still say goodbye."""
    connection, peer = pair
    threading.Timer(0.1, connection.shutdown).start()
    assert connection.receive() == b""
    connection.send(b"bye")
    assert peer.recv(10) == b"bye"


def test_an_ended_connection_is_noticed_before_it_is_used(pair: tuple[Connection, socket.socket]) -> None:
    """The peer's FIN or RST shows without reading."""
    connection, peer = pair
    assert not connection.ended()
    peer.close()
    deadline = time.monotonic() + 10
    while not connection.ended():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_closed_connection_has_no_counts(pair: tuple[Connection, socket.socket]) -> None:
    """They must be taken before."""
    connection, _ = pair
    connection.close()
    assert connection.counts() is None


def test_elsewhere_than_on_linux_nothing_is_guessed(
    pair: tuple[Connection, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No counts, and no opinion on whether the peer has gone."""
    connection, peer = pair
    monkeypatch.setattr(wire, "KERNEL_TELLS", False)
    peer.close()
    assert connection.counts() is None
    assert connection.ended() is False


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8000", Endpoint("127.0.0.1", 8000, "127.0.0.1:8000", "")),
        ("http://lab.example/", Endpoint("lab.example", 80, "lab.example", "")),
        ("http://[::1]:81/below/", Endpoint("::1", 81, "[::1]:81", "/below")),
    ],
)
def test_endpoints(url: str, endpoint: Endpoint) -> None:
    """A URL's host, port, Host header and path."""
    assert Endpoint.of(url) == endpoint


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1", "127.0.0.1:8000", "http://", "http://a b", "http://h/\r\nX: y", "http://h:x"]
)
def test_bad_urls_are_refused(url: str) -> None:
    """With a sentence."""
    with pytest.raises(ValueError, match=r".{20}"):
        Endpoint.of(url)


def test_numeric_addresses_need_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand subscribers would ask the resolver a thousand times."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert Endpoint.of("http://[::1]:81").resolve() == [(socket.AF_INET6, ("::1", 81))]
    assert Endpoint.of("http://127.0.0.1:81").resolve() == [(socket.AF_INET, ("127.0.0.1", 81))]
