"""When a client pauses and for how long: decided by what it saw, whatever a proxy says or drops."""

import time
from collections.abc import Callable

import pytest
from conftest import Server, stop_server
from fake_server import Peer, batch, fake_server, http, wrapped
from test_clients import answer, every_transport, following, subscribe, take, wait_until

from clients import subscriber
from clients.publisher import Publisher
from clients.subscriber import Subscriber

FIRST_S, MOST_S = subscriber.BACKOFF_FIRST_S, subscriber.BACKOFF_MOST_S


class Pauses:
    """Stands for the closing event: notes pauses, waits a hundredth of each, and ends after `most`."""

    def __init__(self, most: int) -> None:
        self.all_s: list[float] = []
        self.most = most

    def is_set(self) -> bool:
        return len(self.all_s) >= self.most

    def wait(self, pause_s: float) -> bool:
        self.all_s.append(pause_s)
        time.sleep(pause_s / 100)
        return self.is_set()


def pauses(follower: Subscriber, most: int) -> list[float]:
    """Iterate for so many pauses. A short poll's waits for its ticks are no pauses: use other transports."""
    waits = Pauses(most)
    follower._closed = waits  # type: ignore[assignment]
    list(follower)
    return waits.all_s


def assert_they_double(all_s: list[float]) -> None:
    for number, pause_s in enumerate(all_s):
        whole_s = min(MOST_S, FIRST_S * 2**number)
        assert whole_s / 2 <= pause_s <= whole_s, all_s


def answers_for_ever(peer: Peer, *answers: bytes) -> None:
    """Answer each request in turn; the last answer again and again."""
    number = 0
    while peer.read_request():
        peer.send(answers[min(number, len(answers) - 1)])
        number += 1


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([http(batch(cursor="a.1"))], "empty"),
        ([http(batch(cursor="a.1"), "200 OK", "Connection: keep-alive")], "empty, by way of a proxy"),
        ([http(batch(1)), http(batch(1))], "what it has already"),
        (
            [http(batch(cursor="a.1")), *(http(batch(cursor=f"b{n}.0", missed=None)) for n in range(99))],
            "epochs",
        ),
    ],
)
def test_a_poll_that_is_answered_with_nothing_at_once_is_followed_by_a_pause(
    answers: list[bytes], why: str
) -> None:
    """The connection is kept: nothing is wrong with it."""
    peers: list[Peer] = []

    def script(peer: Peer, _: int) -> None:
        peers.append(peer)
        answers_for_ever(peer, *answers)

    with fake_server(script) as url:
        follower = subscribe("long-poll", url)
        assert_they_double(pauses(follower, 9))
    assert len(peers) == 1, why
    # The one that joins asks not to be held, so it is answered in time.
    assert follower.requests in (10, 11)
    assert follower.reconnects == 0


def test_a_server_that_holds_nothing_is_not_asked_in_a_busy_loop() -> None:
    """In real time: 65,898 requests in 6 s were seen."""
    with fake_server(lambda peer, _: answers_for_ever(peer, http(batch(cursor="a.1")))) as url:
        follower = subscribe("long-poll", url)
        with following(follower):
            wait_until(lambda: follower.requests >= 2)
            time.sleep(0.6)
    assert follower.requests <= 7


def test_an_empty_answer_in_time_is_followed_by_no_pause() -> None:
    """Nor is one with news, however early."""

    def script(peer: Peer, _: int) -> None:
        for body in (batch(cursor="a.1"), batch(2), batch(cursor="a.2"), batch(3), batch(4)):
            if not peer.read_request():
                return
            if body == batch(cursor="a.2"):
                time.sleep(0.1)
            peer.send(http(body))

    with fake_server(script) as url:
        follower = subscribe("long-poll", url, wait_s=0.1)
        waits = Pauses(99)
        follower._closed = waits  # type: ignore[assignment]
        assert [delivery.id for delivery in take(follower, 3)] == [2, 3, 4]
    assert waits.all_s == []


@pytest.mark.parametrize("transport", ["long-poll", "sse", "websocket"])
@pytest.mark.parametrize("ends", ["closes", "refuses", "says nothing"])
def test_a_first_batch_is_no_reason_to_begin_the_pauses_anew(transport: str, ends: str) -> None:
    """A server that accepts, answers and closes was asked 13 times a second. So was one that refuses in
    between, and one that closes without an answer."""

    def script(peer: Peer, number: int) -> None:
        if ends == "says nothing" and number:
            return
        if ends == "refuses" and number % 2:
            peer.read_request()
            peer.send(http(b"{}", "503 Busy"))
            return
        answer(peer, transport, batch(number + 1))
        if transport == "long-poll":
            peer.read_request()  # or the end would be seen before the next is sent, which is no loss

    with fake_server(script) as url:
        assert_they_double(pauses(subscribe(transport, url), 9))


@every_transport
def test_a_server_that_accepts_and_closes_is_asked_ever_more_seldom(transport: str) -> None:
    """In real time."""
    connections: list[int] = []

    def script(peer: Peer, number: int) -> None:
        connections.append(number)
        if transport in ("sse", "websocket"):
            peer.begin(transport)
            peer.send(wrapped(transport, batch()))

    with fake_server(script) as url, following(subscribe(transport, url)):
        wait_until(lambda: connections)
        time.sleep(0.8)
    assert 2 <= len(connections) <= 6


@pytest.mark.parametrize("transport", ["long-poll", "sse", "websocket"])
def test_a_connection_that_has_held_begins_them_anew(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth lasts."""
    monkeypatch.setattr(subscriber, "HELD_S", 0.5)

    def script(peer: Peer, number: int) -> None:
        answer(peer, transport, batch(number + 1))
        if transport == "long-poll":
            peer.read_request()  # or the end would be seen before the next is sent, which is no loss
        if number == 4:
            time.sleep(0.6)

    with fake_server(script) as url:
        all_s = pauses(subscribe(transport, url), 8)
    assert_they_double(all_s[:4])
    assert_they_double(all_s[4:])


def test_an_answer_is_needed_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and hangs has held nothing, however long that takes."""
    monkeypatch.setattr(subscriber, "HELD_S", 0.05)

    def script(peer: Peer, number: int) -> None:
        peer.read_request()
        time.sleep(0.1)

    with fake_server(script) as url:
        assert_they_double(pauses(subscribe("websocket", url), 4))


def test_polls_of_a_stopping_server_come_seldom(serve: Callable[..., Server]) -> None:
    """It answers those that it holds, and is asked at most a few times more before it is gone."""
    server = serve()
    requests: list[int] = []
    follower = subscribe("long-poll", server.url, on_request=lambda request: requests.append(request.status))
    with following(follower) as deliveries:
        wait_until(lambda: follower.joined)
        with Publisher(server.url) as publisher:
            publisher.publish("before", due_us=1)
            assert publisher.drain()
        wait_until(lambda: deliveries)
        before = len(requests)
        stop_server(server)
    assert len(requests) - before <= 6
