"""A WebSocket whose peer has silently gone is noticed by the heartbeats that did not come."""

import socket
import subprocess
import sys
import time

import pytest
from conftest import Server
from fake_server import Peer, batch, fake_server, frame, wrapped
from test_clients import following, no_pauses, subscribe, take, wait_until  # noqa: F401 - a fixture among them

from clients.publisher import Publisher
from clients.wire import Connection

pytestmark = pytest.mark.long

PING = 9
QUIET_S = 2.5


def query_of(request: str) -> str:
    return request.split()[1].partition("?")[2]


stays_open = pytest.mark.parametrize("transport", ["sse", "websocket"])
SIGNS = {"sse": b":\n\n", "websocket": frame(b"", PING)}
"""What is a sign of life beside a heartbeat."""


@pytest.mark.parametrize(
    ("heartbeat_s", "query"),
    [(None, ""), (1, "heartbeat=1"), (60, "heartbeat=60"), ("unset", "heartbeat=25")],
)
@stays_open
def test_it_asks_for_a_heartbeat(transport: str, heartbeat_s: int | str | None, query: str) -> None:
    """Or for none."""
    requests: list[str] = []

    def script(peer: Peer, _: int) -> None:
        requests.append(peer.begin(transport))
        peer.send(wrapped(transport, batch(1)))
        peer.wait_for_end()

    options = {} if heartbeat_s == "unset" else {"heartbeat_s": heartbeat_s}
    with fake_server(script) as url:
        take(subscribe(transport, url, **options), 1)
    assert query_of(requests[0]) == query


@pytest.mark.parametrize("silent", ["after the first batch", "within a message", "after heartbeats"])
@stays_open
def test_a_peer_that_falls_silent_is_left(transport: str, silent: str, no_pauses: None) -> None:  # noqa: F811
    """After two heartbeats that did not come, and its successor is asked from the cursor."""
    requests: list[str] = []
    began_s: list[float] = []

    def script(peer: Peer, number: int) -> None:
        requests.append(peer.begin(transport))
        began_s.append(time.monotonic())
        peer.send(wrapped(transport, batch(number + 1)))
        if number == 0:
            if silent == "within a message":
                peer.send(wrapped(transport, batch(2))[:-3])
            for _ in range(2 if silent == "after heartbeats" else 0):
                time.sleep(0.8)
                peer.send(wrapped(transport, batch(cursor="a.1")))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url, heartbeat_s=1)
        assert [delivery.id for delivery in take(follower, 2)] == [1, 2]
    assert follower.last_error == "no heartbeat came for 2 s"
    assert query_of(requests[1]) == "after=a.1&heartbeat=1"
    assert began_s[1] - began_s[0] >= (3.6 if silent == "after heartbeats" else 2)


@pytest.mark.parametrize("sign", ["heartbeat", "ping or comment"])
@stays_open
def test_a_sign_of_life_keeps_it(transport: str, sign: str) -> None:
    """Whatever it is."""

    def script(peer: Peer, _: int) -> None:
        peer.begin(transport)
        peer.send(wrapped(transport, batch(1)))
        for _ in range(3):
            time.sleep(1)
            peer.send(wrapped(transport, batch(cursor="a.1")) if sign == "heartbeat" else SIGNS[transport])
        peer.send(wrapped(transport, batch(2)))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url, heartbeat_s=1)
        assert [delivery.id for delivery in take(follower, 2)] == [1, 2]
    assert follower.reconnects == 0
    assert follower.receiver.duplicates == 0


@stays_open
def test_the_real_server_keeps_an_idle_one(transport: str, any_server: Server) -> None:
    """And its heartbeats are no news."""
    follower = subscribe(transport, any_server.url, f"c-heartbeat-{transport}", heartbeat_s=1)
    with following(follower) as deliveries:
        wait_until(lambda: follower.joined)
        time.sleep(QUIET_S)
        with Publisher(any_server.url, f"c-heartbeat-{transport}") as publisher:
            publisher.publish("news", due_us=1)
            assert publisher.drain()
        wait_until(lambda: deliveries)
    assert [delivery.data for delivery in deliveries] == ["news"]
    assert (follower.reconnects, follower.last_error) == (0, None)


def test_a_client_that_stood_still_does_not_blame_its_server() -> None:
    """Its time is over before it can read what came meanwhile: so it looks once more."""
    ours, theirs = socket.socketpair()
    connection = Connection()
    connection._socket.close()
    connection._socket = ours
    with ours, theirs:
        connection.wait_at_most(7)
        assert not connection.has_arrived()
        theirs.send(b"news")
        assert connection.has_arrived()
        assert ours.gettimeout() == 7
        assert ours.recv(10) == b"news"
        theirs.close()
        assert connection.has_arrived()


@pytest.mark.parametrize("heartbeat_s", [0, 61, 1.5, True, "5"])
def test_what_is_no_heartbeat_is_refused(heartbeat_s: object) -> None:
    """The server would refuse it too, and over and over."""
    with pytest.raises(ValueError, match="whole number of seconds, 1 to 60"):
        subscribe("websocket", "http://127.0.0.1:1", heartbeat_s=heartbeat_s)


MEASURED = """
from bench.trials import generator
generator.Generator.__init__.__globals__["Recorder"] = lambda *_: None
settings = dict(subscribers=1, directory=".", join_s=0, system="wirelab", transport="websocket", url="http://h:1",
                stream="main", poll_interval_s=1.0, wait_s=25.0, headers="minimal", connection="kept",
                permessage_deflate=False)
made = generator.Generator(settings)
measured = made.environment.user_classes[0]
measured.host = settings["url"]
user = measured(made.environment)
print(user.problem, user.subscriber.heartbeat_s)
"""


def test_a_measured_subscriber_asks_for_none() -> None:
    """What it asks would be billed to WebSockets alone."""
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("None None\n", 0), done.stderr
