"""Places have shares: who goes gives his up at once, and no address takes them all."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest
from conftest import Server
from models import ON_THE_WIRE
from raw import ENGINE, TIMEOUT_S, RawWebSocket, ask, connect_packet, publish, refused_upgrade, stats

from servers.addresses import UNKNOWN, Addresses
from servers.settings import Settings

pytestmark = pytest.mark.long


def held(server: Server) -> int:
    subscribers: int = stats(server, "main")["transports"]["long-poll"]["subscribers"]
    return subscribers


def until_held(server: Server, count: int, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while held(server) != count:
        assert time.monotonic() < deadline, f"{held(server)} held polls instead of {count}"
        time.sleep(0.02)


def poll(server: Server, wait_s: int = 60) -> socket.socket:
    connection = socket.create_connection(server.address, timeout=TIMEOUT_S)
    connection.sendall(
        f"GET /streams/main/long-poll?wait={wait_s} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    return connection


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def shut(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def shut_after_more(connection: socket.socket) -> None:
    """What is unread does not hide it."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("go", [close, reset, shut, shut_after_more])
@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_who_abandons_a_poll_gives_his_place_up(
    serve: Callable[..., Server], model: str, go: Callable[[socket.socket], None]
) -> None:
    server = serve("--server-model", model, "--max-subscribers", "40")
    with ExitStack() as stack:
        polls = [stack.enter_context(poll(server)) for _ in range(40)]
        until_held(server, 40, 10)
        assert ask(server, "GET", "/streams/main/long-poll?wait=1").status == 503
        for connection in polls[10:]:
            go(connection)
        gone_s = time.monotonic()
        until_held(server, 10, 10)
        assert time.monotonic() - gone_s < 3, "a second, and what a busy machine adds"
        # Who stays gets what is published, and who comes has a place.
        newcomers = [stack.enter_context(poll(server)) for _ in range(30)]
        until_held(server, 40, 10)
        publish(server, "main", "news")
        for connection in [*polls[:10], *newcomers]:
            assert b"news" in connection.recv(65536)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_abandoning_without_pause_takes_no_places(serve: Callable[..., Server], model: str) -> None:
    """Thirty polls a second that are given up at once."""
    server = serve("--server-model", model, "--max-subscribers", "60")
    refused = 0
    for _ in range(45):
        poll(server).close()
        time.sleep(0.03)
        answer = ask(server, "GET", "/streams/main/long-poll?wait=0.01")
        refused += answer.status == 503
    assert refused == 0
    until_held(server, 0, 5)


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_polls_that_are_answered_are_not_mistaken(serve: Callable[..., Server], model: str) -> None:
    """Kept-alive connections poll again and again across many ticks; each gets all, none an early answer."""
    server = serve("--server-model", model)
    ended = threading.Event()
    early: list[float] = []

    def follow() -> None:
        with closing(socket.create_connection(server.address, timeout=TIMEOUT_S)) as connection:
            cursor = None
            while not ended.is_set():
                after = f"after={cursor}&" if cursor else ""
                started_s = time.monotonic()
                request = f"GET /streams/main/long-poll?{after}wait=0.8 HTTP/1.1\r\nHost: localhost\r\n\r\n"
                connection.sendall(request.encode())
                batch = json.loads(connection.recv(65536).split(b"\r\n\r\n")[1])
                cursor = batch["cursor"]
                if not batch["notifications"] and time.monotonic() - started_s < 0.8:
                    early.append(time.monotonic() - started_s)

    threads = [threading.Thread(target=follow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(8):
        publish(server, "main", number)
        time.sleep(0.05 if number % 2 else 0.4)
    time.sleep(0.9)
    ended.set()
    for thread in threads:
        thread.join()
    assert early == []


@pytest.fixture(params=ON_THE_WIRE)
def behind_proxy(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Server:
    """A server that takes this machine for a proxy, with three places for each address."""
    limits = ["--max-subscribers-per-address", "3", "--max-subscribers", "20"]
    return serve("--server-model", request.param, "--trusted-proxy", "127.0.0.1", *limits)


def poll_from(server: Server, forwarded: str) -> int:
    path = "/streams/main/long-poll?wait=0.01"
    return ask(server, "GET", path, headers={"X-Forwarded-For": forwarded} if forwarded else {}).status


def connect_from(server: Server, forwarded: str) -> bytes:
    """What a session of Socket.IO is told that wants to join."""
    headers = {"X-Forwarded-For": forwarded}
    opening = json.loads(ask(server, "GET", f"{ENGINE}polling", headers=headers).body[1:])
    path = f"{ENGINE}polling&sid={opening['sid']}"
    assert ask(server, "POST", path, connect_packet("main").encode(), headers).status == 200
    return ask(server, "GET", path, headers=headers).body


def test_no_address_has_more_than_its_share(behind_proxy: Server) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            connection = stack.enter_context(closing(socket.create_connection(behind_proxy.address)))
            lines = "GET /streams/main/long-poll?wait=30 HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{lines}X-Forwarded-For: 8.8.8.8, 192.0.2.7\r\n\r\n".encode())
        until_held(behind_proxy, 3, 10)
        refused = ask(
            behind_proxy, "GET", "/streams/main/long-poll", headers={"X-Forwarded-For": "192.0.2.7"}
        )
        assert (refused.status, refused.headers["Retry-After"] is not None) == (503, True)
        assert "max_subscribers_per_address" in refused.json["detail"]
        upgrade = {"X-Forwarded-For": "192.0.2.7"}
        for path in ["/streams/main/websocket", "/echo", "/welcome/websocket"]:
            assert refused_upgrade(behind_proxy, path, upgrade).status == 503
        told = connect_from(behind_proxy, "192.0.2.7")
        assert told.startswith(b"44{")
        assert b"max_subscribers_per_address" in told
        assert connect_from(behind_proxy, "192.0.2.9").startswith(b"40{")
        # What the client itself put before is not believed, others are free, and so is the proxy itself.
        assert poll_from(behind_proxy, "10.9.9.9, 192.0.2.7") == 503
        assert poll_from(behind_proxy, "192.0.2.7, 192.0.2.8") == 200
        assert poll_from(behind_proxy, "192.0.2.7, 127.0.0.1") == 503
        for _ in range(6):
            stack.enter_context(closing(RawWebSocket(behind_proxy, "/streams/main/websocket")))
        assert publish(behind_proxy, "main", 1).status == 201
    until_held(behind_proxy, 0, 5)
    assert poll_from(behind_proxy, "192.0.2.7") == 200


def test_loopback_may_have_all_and_is_not_believed(serve: Callable[..., Server]) -> None:
    server = serve("--max-subscribers-per-address", "2", "--max-subscribers", "8")
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(closing(RawWebSocket(server, "/streams/main/websocket")))
        refused = ask(server, "GET", "/streams/main/long-poll", headers={"X-Forwarded-For": "192.0.2.1"})
        assert (refused.status, "(max_subscribers)" in refused.json["detail"]) == (503, True)


FROM = [
    ("192.0.2.9", "", "192.0.2.9", True),
    ("192.0.2.9", "10.0.0.1", "192.0.2.9", True),
    ("10.1.2.3", "192.0.2.1", "192.0.2.1", True),
    ("10.1.2.3", "192.0.2.1,10.9.9.9 , 10.8.8.8", "192.0.2.1", True),
    ("10.1.2.3", "6.6.6.6, 192.0.2.1:4711", "192.0.2.1", True),
    ("10.1.2.3", '"[2001:db8::5]:80"', "2001:db8::/64", True),
    ("10.1.2.3", "2001:db8:0:0:ffff::7", "2001:db8::/64", True),
    ("10.1.2.3", "", "10.1.2.3", False),
    ("10.1.2.3", "10.4.4.4", "10.4.4.4", False),
    ("10.1.2.3", "192.0.2.1, nonsense", UNKNOWN, True),
    ("::ffff:10.1.2.3", "192.0.2.1", "192.0.2.1", True),
    ("::ffff:192.0.2.1", "", "192.0.2.1", True),
    ("127.0.0.5", "192.0.2.1", "127.0.0.5", False),
    ("::1", "192.0.2.1", "::1", False),
    ("fe80::1%eth0", "", "fe80::/64", True),
    ("", "", UNKNOWN, True),
]


@pytest.mark.parametrize(("peer", "forwarded", "client", "has_share"), FROM)
def test_who_a_request_comes_from(peer: str, forwarded: str, client: str, has_share: bool) -> None:
    addresses = Addresses(["10.0.0.0/8"])
    environ = {"REMOTE_ADDR": peer} | ({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})
    assert (addresses.client(environ), addresses.share(environ)) == (client, client if has_share else None)


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="trusted_proxy"):
        Settings(trusted_proxy=("proxy.example",))
