"""What only polling does: the grid, being held, and connections that are kept alive, or not."""

import socket
import threading
import time

import pytest
from conftest import Server
from fake_server import Peer, batch, fake_server, http
from test_clients import following, no_pauses, subscribe, take, wait_until  # noqa: F401 - a fixture among them

from clients import long_poll, short_poll, subscriber
from clients.publisher import Publisher, schedule
from clients.short_poll import ShortPollSubscriber

URL = "http://127.0.0.1:1"


class Clock:
    """Stands for `time` and for the closing event: waiting moves it on."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.ticks: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, pause_s: float) -> bool:
        assert pause_s >= 0
        self.now_s += pause_s
        self.ticks.append(self.now_s)
        return False


def ticking(
    monkeypatch: pytest.MonkeyPatch, seed: int, interval_s: float
) -> tuple[ShortPollSubscriber, Clock]:
    clock = Clock(1000.0)
    monkeypatch.setattr(short_poll, "time", clock)
    follower = ShortPollSubscriber(URL, poll_interval_s=interval_s, seed=seed)
    follower._closed = clock  # type: ignore[assignment]
    return follower, clock


def test_the_grid_runs_from_start_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the answers take, if less than T."""
    follower, clock = ticking(monkeypatch, seed=1, interval_s=2.0)
    for took_s in (0.0, 0.5, 1.9, 0.1):
        follower._wait_for_tick()
        clock.now_s += took_s
    follower._wait_for_tick()
    first_s = clock.ticks[0]
    assert clock.ticks == pytest.approx([first_s + 2.0 * number for number in range(5)])
    assert follower.skipped_ticks == 0


def test_overrun_ticks_are_skipped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the grid stays where it was."""
    follower, clock = ticking(monkeypatch, seed=1, interval_s=2.0)
    follower._wait_for_tick()
    clock.now_s += 5.0  # over the ticks at 2 and at 4
    follower._wait_for_tick()
    assert clock.ticks[1] - clock.ticks[0] == pytest.approx(6.0)
    assert follower.skipped_ticks == 2


def test_phases_are_uniform_and_come_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand subscribers fill the interval evenly."""
    phases = []
    for seed in [*range(1000), 0]:
        follower, clock = ticking(monkeypatch, seed, interval_s=10.0)
        follower._wait_for_tick()
        phases.append(clock.ticks[0] - 1000.0)
    assert phases[0] == phases[-1]
    assert all(0 <= phase <= 10 for phase in phases)
    tenths = [sum(int(phase) == tenth for phase in phases) for tenth in range(10)]
    # Binomial(1000, 0.1): mean 100, standard deviation 9.5; the seeds are fixed, so this is no chance.
    assert 60 < min(tenths) <= max(tenths) < 140


def test_it_asks_on_the_grid() -> None:
    """On the wire, too: as many requests as ticks, answered or skipped."""
    with fake_server(lambda peer, _: answer_all(peer)) as url:
        follower = subscribe("short-poll", url, poll_interval_s=0.1)
        start_s = time.monotonic()
        with following(follower):
            wait_until(lambda: follower.requests >= 10)
            took_s = time.monotonic() - start_s
    assert took_s >= 0.8
    assert follower.requests + follower.skipped_ticks <= took_s / 0.1 + 2


def answer_all(peer: Peer, *headers: str) -> None:
    while peer.read_request():
        peer.send(http(batch(), "200 OK", *headers))


def test_a_connection_that_idled_out_is_replaced_without_a_pause() -> None:
    """As gunicorn closes it, if T is longer than its keepalive."""

    def script(peer: Peer, number: int) -> None:
        peer.read_request()
        peer.send(http(batch(number + 1)))

    with fake_server(script) as url:
        follower = subscribe("short-poll", url, poll_interval_s=0.2)
        assert [delivery.id for delivery in take(follower, 3)] == [1, 2, 3]
    assert follower.reconnects == 2
    assert follower.last_error is None


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_a_server_may_close_after_each_answer(transport: str) -> None:
    """Connection: close is no loss."""

    def script(peer: Peer, number: int) -> None:
        peer.read_request()
        peer.send(http(batch(number + 1), "200 OK", "Connection: close"))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        assert [delivery.id for delivery in take(follower, 3)] == [1, 2, 3]
    assert follower.reconnects == 2
    assert follower.last_error is None


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_a_fresh_connection_for_each_poll(any_server: Server, transport: str) -> None:
    """Nothing is lost, none of them is a reconnect, and all of their segments are counted: three to open, the
    request, the answer, its acknowledgement at most, and two each to end."""
    name = f"c-fresh-{transport}"
    follower = subscribe(transport, any_server.url, name, connection="fresh")
    with following(follower) as deliveries:
        wait_until(lambda: follower.joined)
        with Publisher(any_server.url, name) as publisher:
            publisher.run(schedule("constant", 20, seed=1), stop=threading.Event(), count=10)
            assert publisher.drain()
        wait_until(lambda: len(deliveries) == 10, "the last delivery")
    assert [delivery.id for delivery in deliveries] == list(range(1, 11))
    assert follower.reconnects == 0
    assert follower.last_error is None
    counts = follower.wire()
    assert counts is not None
    # A poll under way when the iteration was closed has no answer, and its connection no end.
    assert follower.requests > 2
    assert 4 * follower.requests <= counts.segments_sent <= 6 * follower.requests + 4
    assert 4 * follower.requests <= counts.segments_received <= 6 * follower.requests + 4


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_fresh_connections_are_counted_to_the_byte(transport: str) -> None:
    """Payload bytes are what the server's side saw, whoever ends a connection; the server is asked to."""
    heads: list[str] = []
    sent: list[bytes] = []

    def script(peer: Peer, number: int) -> None:
        heads.append(peer.read_request())
        sent.append(http(batch(number + 1), "200 OK", *(["Connection: close"] if number else [])))
        peer.send(sent[-1])
        if number:
            peer.socket.shutdown(socket.SHUT_WR)
        assert peer.wait_for_end() == b""

    with fake_server(script) as url:
        follower = subscribe(transport, url, connection="fresh")
        assert [delivery.id for delivery in take(follower, 3)] == [1, 2, 3]
    assert all("Connection: close" in head.splitlines() for head in heads)
    assert (len(heads), follower.reconnects) == (3, 1)
    counts = follower.wire()
    assert counts is not None
    assert counts.bytes_received == sum(map(len, sent))
    assert counts.bytes_sent == sum(len(head) + 4 for head in heads)


@pytest.mark.parametrize("connection", ["kept", "fresh"])
def test_a_stopping_server_is_not_asked_in_a_busy_loop(connection: str) -> None:
    """Its answers are empty, at once, and close the connection."""
    connections = []

    def script(peer: Peer, number: int) -> None:
        connections.append(number)
        peer.read_request()
        peer.send(http(batch(), "200 OK", "Connection: close"))
        peer.socket.shutdown(socket.SHUT_WR)
        peer.wait_for_end()

    with fake_server(script) as url, following(subscribe("long-poll", url, connection=connection)):
        time.sleep(0.5)
    # Pauses of 50 to 100 ms.
    assert 1 < len(connections) <= 11


def test_a_long_poll_first_fetches_the_cursor_and_then_asks_at_once() -> None:
    """The first is not held; each of the others asks to be."""
    requests: list[str] = []

    def script(peer: Peer, _: int) -> None:
        for body in (batch(cursor="a.6"), batch(7), batch(8)):
            requests.append(peer.read_request())
            peer.send(http(body))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe("long-poll", url, wait_s=12.5)
        assert [delivery.id for delivery in take(follower, 2)] == [7, 8]
    host = url.removeprefix("http://")
    assert requests == [
        f"GET /streams/main/long-poll?{query} HTTP/1.1\r\nHost: {host}"
        for query in ("wait=0", "after=a.6&wait=12.5", "after=a.7&wait=12.5")
    ]
    assert follower.empty_responses == 1
    assert follower.joined_cursor == "a.6"


def test_a_long_poll_is_held_and_renewed(server: object) -> None:
    """Nothing happens, and it costs one request each `wait_s`."""
    follower = subscribe("long-poll", server.url, "c-held", wait_s=0.2)  # type: ignore[attr-defined]
    requests = []
    follower.on_request = requests.append
    with following(follower):
        wait_until(lambda: follower.requests >= 4)
    for request in requests[1:4]:
        assert request.received_us - request.sent_us >= 200_000
        assert request.notifications == 0


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_a_server_that_never_answers_counts_as_lost(
    transport: str,
    no_pauses: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may hang, or be stopped."""
    monkeypatch.setattr(subscriber, "ANSWER_TIMEOUT_S", 0.1)
    monkeypatch.setattr(long_poll, "ANSWER_TIMEOUT_S", 0.1)

    def script(peer: Peer, number: int) -> None:
        peer.read_request()
        if number:
            peer.send(http(batch(1)))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url, wait_s=0.1)
        assert [delivery.id for delivery in take(follower, 1)] == [1]
    assert "timed out" in str(follower.last_error)


def test_a_compressed_answer_is_told() -> None:
    """A browser's headers allow it, the contract does not."""

    def script(peer: Peer, _: int) -> None:
        peer.read_request()
        peer.send(http(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"))
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(Exception, match="compressed"):
        take(subscribe("short-poll", url), 1)


def test_browser_headers_weigh_what_a_browsers_do() -> None:
    """The factor is the headers, and nothing else."""
    requests: dict[str, str] = {}
    for kind in ("minimal", "browser"):

        def script(peer: Peer, _: int, kind: str = kind) -> None:
            requests[kind] = peer.read_request()
            peer.send(http(batch(1)))
            peer.wait_for_end()

        with fake_server(script) as url:
            take(subscribe("short-poll", url, headers=kind), 1)
    assert len(requests["minimal"].splitlines()) == 2
    assert 600 < len(requests["browser"]) < 1000
    names = [line.partition(":")[0] for line in requests["browser"].splitlines()[1:]]
    assert names[0] == "Host"
    assert {"User-Agent", "Cookie", "Referer", "Accept-Encoding", "Sec-Fetch-Site"} <= set(names)
    assert requests["minimal"].splitlines()[0] == requests["browser"].splitlines()[0]


def test_a_cursor_is_escaped_whatever_it_is() -> None:
    """Clients never look inside, so nothing in it may break the request."""
    requests: list[str] = []

    def script(peer: Peer, _: int) -> None:
        for number in (1, 2):
            requests.append(peer.read_request())
            peer.send(http(batch(number, cursor="a b&c\r\nX: é")))
        peer.wait_for_end()

    with fake_server(script) as url:
        take(subscribe("short-poll", url), 2)
    assert (
        requests[1].splitlines()[0]
        == "GET /streams/main/short-poll?after=a%20b%26c%0D%0AX%3A%20%C3%A9 HTTP/1.1"
    )


def test_many_threads_can_read_the_counts() -> None:
    """While connections come and go."""

    def script(peer: Peer, number: int) -> None:
        peer.read_request()
        peer.send(http(batch(number + 1), "200 OK", "Connection: close"))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe("long-poll", url)
        seen: list[int] = []
        stop = threading.Event()

        def watch() -> None:
            while not stop.is_set():
                counts = follower.wire()
                assert counts is not None
                seen.append(counts.bytes_received)

        watcher = threading.Thread(target=watch)
        watcher.start()
        take(follower, 100)
        stop.set()
        watcher.join()
    assert seen == sorted(seen)
