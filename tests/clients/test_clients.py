"""What every subscriber does, whatever its transport: on real servers, and on servers that fail."""

import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from conftest import Server, stop_server
from fake_server import Peer, batch, fake_server, http, wrapped

from clients import TRANSPORTS, measure_parsers, subscriber, wire
from clients.errors import BadAnswer, Refused
from clients.publisher import Publisher, schedule
from clients.receiver import BadBatch
from clients.short_poll import ShortPollSubscriber
from clients.subscriber import Delivery, Request, Subscriber
from clients.wire import WireCounts

END_S = 5.0
"""How long a closed iteration may take to end: "soon", on a busy machine."""

every_transport = pytest.mark.parametrize("transport", list(TRANSPORTS))


def subscribe(transport: str, url: str, stream: str = "main", **options: Any) -> Subscriber:
    return TRANSPORTS[transport](url, stream, **{"poll_interval_s": 0.05, **options})


def take(follower: Subscriber, count: int) -> list[Delivery]:
    """Iterate until so many deliveries have come, and leave."""
    iterator = iter(follower)
    try:
        return list(itertools.islice(iterator, count))
    finally:
        iterator.close()  # type: ignore[attr-defined]


@contextmanager
def following(follower: Subscriber) -> Iterator[list[Delivery]]:
    """Iterate in a thread while the block runs; close, and check that it ends."""
    deliveries: list[Delivery] = []
    errors: list[BaseException] = []

    def follow() -> None:
        try:
            for delivery in follower:
                deliveries.append(delivery)  # noqa: PERF402 - the block watches it grow
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield deliveries
    finally:
        follower.close()
        thread.join(END_S)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


def wait_until(condition: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def answer(peer: Peer, transport: str, body: bytes, chunk: int | None = None) -> str:
    """Read what the transport asks and answer with a batch; return the request."""
    request = peer.begin(transport)
    if request:
        peer.send(wrapped(transport, body), chunk)
    return request


# On real servers.


@every_transport
def test_everything_arrives_once_and_in_order(any_server: Server, transport: str) -> None:
    """And every figure about it is there."""
    requests: list[Request] = []
    follower = subscribe(transport, any_server.url, f"c-order-{transport}", on_request=requests.append)
    with following(follower) as deliveries:
        wait_until(lambda: follower.joined)
        with Publisher(any_server.url, f"c-order-{transport}") as publisher:
            publisher.run(schedule("poisson", 200, seed=1), stop=threading.Event(), count=60)
            assert publisher.drain()
            records = list(publisher.records)
        wait_until(lambda: len(deliveries) >= 60, "the last delivery")
        counts = follower.wire()
    assert [delivery.id for delivery in deliveries] == [record.id for record in records]
    assert [delivery.due_us for delivery in deliveries] == [record.due_us for record in records]
    assert {delivery.data for delivery in deliveries} == {publisher.data}
    for delivery in deliveries:
        assert delivery.due_us <= delivery.accepted_us <= delivery.handled_us
        assert delivery.accepted_us <= delivery.received_us <= delivery.handled_us
    receiver = follower.receiver
    assert (receiver.received, receiver.duplicates, receiver.reordered, receiver.lost) == (60, 0, 0, 0)
    assert follower.joined_id == records[0].id - 1
    assert follower.arrival == "kernel"
    assert counts is not None
    assert counts.bytes_received > 60 * len(publisher.data)
    assert min(counts) > 0
    for request in requests:
        assert request.sent_us <= request.received_us <= request.handled_us
    if not follower.asks_again:
        assert [request.status for request in requests] == [follower.good_status]
    else:
        assert {request.status for request in requests} == {200}
        assert sum(request.notifications for request in requests) == 60
        assert follower.empty_responses == sum(request.notifications == 0 for request in requests)
    assert follower.requests == len(requests)
    assert follower.reconnects == 0


@every_transport
def test_joins_at_the_head_or_after_a_cursor(server: Server, transport: str) -> None:
    """Nothing before the head, or all since the cursor."""
    stream = f"c-join-{transport}"
    with Publisher(server.url, stream) as publisher:
        for number in (1, 2):
            publisher.publish(number, due_us=number)
        assert publisher.drain()
        follower = subscribe(transport, server.url, stream)
        with following(follower) as deliveries:
            wait_until(lambda: follower.joined)
            cursor = follower.joined_cursor
            publisher.publish(3, due_us=3)
            wait_until(lambda: deliveries)
            publisher.publish(4, due_us=4)
            wait_until(lambda: len(deliveries) == 2)
        assert [delivery.data for delivery in deliveries] == [3, 4]
    again = subscribe(transport, server.url, stream, after=cursor)
    assert [delivery.data for delivery in take(again, 2)] == [3, 4]
    assert again.receiver.cursor == follower.receiver.cursor


@every_transport
def test_a_large_notification_arrives_whole(any_server: Server, transport: str) -> None:
    """1 MiB, in many segments."""
    data = "ä" * (2**19)
    follower = subscribe(transport, any_server.url, f"c-large-{transport}")
    with following(follower) as deliveries:
        wait_until(lambda: follower.joined)
        with Publisher(any_server.url, f"c-large-{transport}") as publisher:
            publisher.publish(data, due_us=1)
            assert publisher.drain()
            wait_until(lambda: deliveries)
    assert deliveries[0].data == data


@every_transport
def test_close_ends_an_idle_iteration(any_server: Server, transport: str) -> None:
    """A held poll, an open WebSocket, and the sleep between two short polls."""
    follower = subscribe(transport, any_server.url, "c-idle")
    with following(follower):
        wait_until(lambda: follower.joined)
        follower.poll_interval_s = 60
        time.sleep(0.2)
    assert list(follower) == []


def test_a_restarted_server_is_found_again(serve: Callable[..., Server]) -> None:
    """Each transport comes back to the new epoch and says that the gap is unknown."""
    first = serve()
    followers = {transport: subscribe(transport, first.url) for transport in TRANSPORTS}
    with ExitStack() as stack:
        delivered = [stack.enter_context(following(follower)) for follower in followers.values()]
        wait_until(lambda: all(follower.joined for follower in followers.values()))
        with Publisher(first.url) as publisher:
            publisher.publish("before", due_us=1)
            publisher.drain()
        wait_until(lambda: all(len(deliveries) == 1 for deliveries in delivered))
        stop_server(first)
        second = serve("--port", str(first.address[1]))
        assert second.url == first.url
        with Publisher(second.url) as publisher:
            publisher.publish("after", due_us=2)
            publisher.drain()
        wait_until(lambda: all(len(deliveries) == 2 for deliveries in delivered))
    for deliveries in delivered:
        assert [(delivery.id, delivery.data) for delivery in deliveries] == [(1, "before"), (1, "after")]
    for follower in followers.values():
        assert follower.receiver.epoch_changes == follower.receiver.unknown_gaps == 1
        assert follower.reconnects >= 1
        assert follower.last_error


GREENLETS = """
from gevent import monkey; monkey.patch_all()
import gevent, sys, time
from clients import TRANSPORTS
from clients.publisher import Publisher
url = sys.argv[1]
classes = list(TRANSPORTS.values()) * 20
followers = [cls(url, "c-gevent", poll_interval_s=0.1, seed=seed) for seed, cls in enumerate(classes)]
deliveries = [[] for _ in followers]
def follow(follower, into):
    for delivery in follower:
        into.append(delivery.id)
greenlets = [gevent.spawn(follow, *pair) for pair in zip(followers, deliveries)]
with gevent.Timeout(30):
    while not all(follower.joined for follower in followers):
        gevent.sleep(0.01)
    with Publisher(url, "c-gevent") as publisher:
        for number in range(10):
            publisher.publish(number, due_us=time.time_ns() // 1000)
            gevent.sleep(0.02)
        assert publisher.drain()
    while not all(len(ids) == 10 for ids in deliveries):
        gevent.sleep(0.01)
for follower in followers:
    follower.close()
assert len(gevent.joinall(greenlets, timeout=10, raise_error=True)) == len(followers)
assert all(ids == list(range(ids[0], ids[0] + 10)) for ids in deliveries)
assert {follower.arrival for follower in followers} == {"kernel"}
"""


def test_the_same_code_runs_on_greenlets(server: Server) -> None:
    """Monkey-patched, with everything in one thread."""
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS, server.url],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_clients_import_neither_gevent_nor_locust() -> None:
    """They must be usable, and measurable, without."""
    program = (
        "import pkgutil, importlib, sys, clients\n"
        "for module in pkgutil.iter_modules(clients.__path__, 'clients.'):\n"
        "    importlib.import_module(module.name)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'gevent', 'locust', 'servers', 'bench'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_parsers_can_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """The command that the docstrings name prints a figure for each candidate."""
    measure_parsers.main(rounds=1, messages=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(measure_parsers.CANDIDATES)
    assert all(line.endswith("µs") for line in lines)


# On servers that fail.


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back at once: the pauses have their own test."""
    monkeypatch.setattr(subscriber, "BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(subscriber, "BACKOFF_MOST_S", 0.01)


@every_transport
@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_odd_chunks(transport: str, chunk: int) -> None:
    """A few bytes at a time, split anywhere."""

    def script(peer: Peer, _: int) -> None:
        answer(peer, transport, batch(1, 2, data="€"), chunk)
        peer.wait_for_end()

    with fake_server(script) as url:
        deliveries = take(subscribe(transport, url), 2)
    assert [(delivery.id, delivery.data) for delivery in deliveries] == [(1, "€"), (2, "€")]


@every_transport
def test_arrival_is_that_of_the_segment_that_completes_the_message(transport: str) -> None:
    """Not of the first one."""
    sent_us: list[int] = []

    def script(peer: Peer, _: int) -> None:
        body = batch(1)
        whole = wrapped(transport, body)
        peer.begin(transport)
        peer.send(whole[:-1])
        time.sleep(0.1)
        sent_us.append(time.time_ns() // 1000)
        peer.send(whole[-1:])
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        (delivery,) = take(follower, 1)
    assert delivery.received_us >= sent_us[0]
    assert follower.arrival == "kernel"


@pytest.mark.parametrize("transport", [name for name in TRANSPORTS if name != "socketio-polling"])
def test_a_lost_connection_is_resumed_from_the_cursor(transport: str, no_pauses: None) -> None:
    """Cut in the middle of an answer, it asks again for what it has not had. (A session of Socket.IO polling
    outlives its connection: `test_cuts.py` cuts it.)"""
    asked: dict[int, str] = {}

    def script(peer: Peer, number: int) -> None:
        if number == 1:
            asked[number] = peer.begin(transport)
            peer.send(wrapped(transport, batch(2, 3))[:-5])
            return
        asked[number] = answer(peer, transport, batch(1) if number == 0 else batch(1, 2, 3, cursor="b.3"))
        if number:
            peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        deliveries = take(follower, 3)
    assert [delivery.id for delivery in deliveries] == [1, 2, 3]
    assert "after" not in asked[0]
    assert "after=a.1" in asked[1]
    assert "after=a.1" in asked[2]
    assert follower.receiver.duplicates == 1
    assert follower.reconnects == 2
    assert follower.last_error


@every_transport
def test_an_overloaded_server_is_asked_again(transport: str, no_pauses: None) -> None:
    """5xx, 408 and 429 are told to on_request and passed over."""
    requests: list[Request] = []

    def script(peer: Peer, number: int) -> None:
        status = ["503 Busy", "500 Broken", "429 Slow", "408 Late"]
        if number < len(status):
            peer.read_request()
            peer.send(http(b'{"title":"no","detail":"The lab is full."}', status[number]))
            peer.wait_for_end()
        else:
            answer(peer, transport, batch(1))
            peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url, on_request=requests.append)
        take(follower, 1)
    assert [request.status for request in requests[:4]] == [503, 500, 429, 408]
    assert {request.notifications for request in requests[:4]} == {0}
    assert follower.last_error == "the server answered 408: The lab is full."
    assert follower.requests == (3 if transport == "socketio-polling" else 1), "handshake, CONNECT and poll"


def test_retry_after_is_obeyed(no_pauses: None) -> None:
    """And jitter comes on top, never off."""
    times: list[float] = []

    def script(peer: Peer, number: int) -> None:
        times.append(time.monotonic())
        if number == 0:
            peer.read_request()
            peer.send(http(b"", "503 Busy", "Retry-After: 1"))
            peer.wait_for_end()
        else:
            answer(peer, "long-poll", batch(1))
            peer.wait_for_end()

    with fake_server(script) as url:
        take(subscribe("long-poll", url), 1)
    assert times[1] - times[0] >= 1.0


class Waits:
    """Stands for the closing event, and writes down the pauses instead of waiting."""

    def __init__(self, most: int) -> None:
        self.pauses: list[float] = []
        self.most = most

    def is_set(self) -> bool:
        return len(self.pauses) >= self.most

    def wait(self, pause_s: float) -> bool:
        self.pauses.append(pause_s)
        return self.is_set()


def test_pauses_double_with_jitter_up_to_a_cap() -> None:
    """From the seed, so that a run can be repeated."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    runs: list[list[float]] = []
    for seed in (1, 1, 2):
        follower = subscribe("websocket", f"http://127.0.0.1:{port}", seed=seed)
        waits = Waits(12)
        follower._closed = waits  # type: ignore[assignment]
        assert list(follower) == []
        runs.append(waits.pauses)
    assert runs[0] == runs[1] != runs[2]
    for number, pause_s in enumerate(runs[0]):
        whole = min(subscriber.BACKOFF_MOST_S, subscriber.BACKOFF_FIRST_S * 2**number)
        assert whole / 2 <= pause_s <= whole


@every_transport
@pytest.mark.parametrize("status", ["400 Bad", "403 Foreign", "404 Not Found"])
def test_a_refusal_is_raised_with_its_sentence(transport: str, status: str) -> None:
    """To ask again would not help."""

    def script(peer: Peer, _: int) -> None:
        peer.read_request()
        peer.send(http(b'{"title":"no","detail":"Mend the cursor."}', status))
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(Refused, match=r"Mend the cursor\.") as raised:
        take(subscribe(transport, url), 1)
    assert raised.value.status == int(status[:3])


@every_transport
def test_the_real_servers_refusal_has_its_sentence(server: Server, transport: str) -> None:
    """A cursor that is none is our fault."""
    with pytest.raises(Refused, match="cursor") as raised:
        take(subscribe(transport, server.url, "c-refused", after="nonsense"), 1)
    assert raised.value.status == 400


@every_transport
@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"gopher\r\n\r\n", "not HTTP"),
        (http(b"") + http(b""), "more than one answer"),
    ],
)
def test_a_broken_answer_is_raised(transport: str, reply: bytes, sentence: str) -> None:
    """As the server's fault."""

    def script(peer: Peer, _: int) -> None:
        peer.read_request()
        peer.send(reply)
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(BadAnswer, match=sentence):
        take(subscribe(transport, url), 1)


@every_transport
def test_a_bad_batch_is_raised(transport: str) -> None:
    """It is the server's fault and would not get better."""

    def script(peer: Peer, _: int) -> None:
        answer(peer, transport, b'{"notifications":[]}')
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(BadBatch, match="cursor"):
        take(subscribe(transport, url), 1)


@every_transport
def test_wire_counts_add_up_over_connections(transport: str, no_pauses: None) -> None:
    """Exactly what the server's side saw, in bytes."""
    sent: list[bytes] = []
    received: list[int] = []

    def script(peer: Peer, number: int) -> None:
        original = peer.send

        def send(data: bytes, chunk: int | None = None) -> None:
            sent.append(data)
            original(data, chunk)

        peer.send = send  # type: ignore[method-assign]
        answer(peer, transport, batch(number + 1))
        if transport == "socketio-polling":
            # A session goes on when a connection has ended between its polls, and not when one has within.
            peer.read_request()
        if number < 2:
            peer.socket.shutdown(socket.SHUT_WR)
        peer.wait_for_end()
        received.append(peer.received_bytes)

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        assert follower.wire() == WireCounts(0, 0, 0, 0)
        iterator = iter(follower)
        deliveries = [next(iterator) for _ in range(3)]
        follower.close()
        assert next(iterator, None) is None
    assert [delivery.id for delivery in deliveries] == [1, 2, 3]
    counts = follower.wire()
    assert counts is not None
    assert counts.bytes_received == len(b"".join(sent))
    assert counts.bytes_sent == sum(received)


def test_close_ends_the_attempts_to_connect() -> None:
    """Nobody listens, and nobody waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    follower = subscribe("websocket", f"http://127.0.0.1:{port}")
    with following(follower) as deliveries:
        wait_until(lambda: follower.last_error)
    assert deliveries == []
    assert "cannot connect to 127.0.0.1" in str(follower.last_error)


def test_close_ends_a_connect_that_hangs() -> None:
    """A full backlog leaves a client without an answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        follower = subscribe("long-poll", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with following(follower):
            time.sleep(0.3)
        for filler in fillers:
            filler.close()
    assert not follower.joined


def test_an_unknown_host_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And asked for again: names come back too."""

    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    follower = subscribe("short-poll", "http://lab.example")
    with following(follower):
        wait_until(lambda: follower.last_error)
    assert "cannot find lab.example" in str(follower.last_error)


@every_transport
def test_what_the_system_cannot_tell_is_not_measured(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux: no counts, and handling time, and both say so."""
    monkeypatch.setattr(wire, "KERNEL_TELLS", False)

    def script(peer: Peer, _: int) -> None:
        answer(peer, transport, batch(1))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        (delivery,) = take(follower, 1)
    assert follower.wire() is None
    assert follower.arrival == "handling"
    assert delivery.received_us == delivery.handled_us


@every_transport
def test_leaving_and_coming_back(transport: str) -> None:
    """Whoever breaks out of the loop may iterate again, from the cursor."""
    asked: dict[int, str] = {}

    def script(peer: Peer, number: int) -> None:
        asked[number] = answer(peer, transport, batch(number + 1))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        assert [delivery.id for delivery in take(follower, 1)] == [1]
        assert [delivery.id for delivery in take(follower, 1)] == [2]
    assert "after=a.1" in asked[1]


@every_transport
def test_leaving_within_a_batch_loses_nothing(transport: str) -> None:
    """Nor does coming back give anything twice."""

    def script(peer: Peer, number: int) -> None:
        answer(peer, transport, batch(1, 2, 3) if number == 0 else batch(4))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(transport, url)
        assert [delivery.id for delivery in take(follower, 1)] == [1]
        assert [delivery.id for delivery in take(follower, 3)] == [2, 3, 4]
    assert follower.receiver.duplicates == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"stream": "Main"}, "no stream's name"),
        ({"stream": ""}, "no stream's name"),
        ({"url": "ftp://h"}, "no address of a server"),
        ({"poll_interval_s": 0}, "more than 0"),
        ({"poll_interval_s": float("nan")}, "more than 0"),
        ({"wait_s": 61}, "at most 60"),
        ({"wait_s": 0}, "more than 0"),
        ({"headers": "curl"}, "one of minimal, browser"),
    ],
)
def test_arguments_that_make_no_sense(options: dict[str, Any], sentence: str) -> None:
    """Refused with what would."""
    with pytest.raises(ValueError, match=sentence):
        ShortPollSubscriber(**{"url": "http://127.0.0.1:1", **options})
