"""The publisher: pipelined, open-loop, and clear about what went wrong."""

import itertools
import json
import math
import socket
import statistics
import struct
import threading
import time

import pytest
from conftest import Server
from cutting_proxy import Cut, CuttingProxy
from fake_server import Peer, fake_server, http

from clients import publisher as publisher_module
from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.publisher import Publisher, filler, schedule
from clients.wire import Connection


def read_publish(peer: Peer) -> dict[str, object]:
    head = peer.read_request()
    if not head:
        raise EOFError
    (length,) = (line for line in head.splitlines() if line.startswith("Content-Length: "))
    publication: dict[str, object] = json.loads(peer.read_exactly(int(length.partition(": ")[2])))
    return publication


def created(number: int) -> bytes:
    return http(json.dumps({"id": number, "cursor": f"a.{number}"}).encode(), "201 Created")


def test_published_notifications_are_recorded_in_order(any_server: Server) -> None:
    """Pipelined on one connection, answered in order, on both server models."""
    with Publisher(any_server.url, "c-published") as publisher:
        for number in range(200):
            publisher.publish({"number": number, "text": "Grüße €"}, due_us=time.time_ns() // 1000)
        assert publisher.drain()
        records = list(publisher.records)
    assert [record.id for record in records] == list(range(1, 201))
    assert {record.status for record in records} == {201}
    for record in records:
        assert record.written_us is not None
        assert record.answered_us is not None
        assert record.due_us <= record.written_us
        assert record.due_us <= record.answered_us
    assert publisher.published == 200
    assert publisher.forgotten == 0


def test_it_never_waits_for_an_answer() -> None:
    """A server that answers nothing gets everything all the same."""
    got: list[dict[str, object]] = []
    go = threading.Event()

    def script(peer: Peer, _: int) -> None:
        got.extend(read_publish(peer) for _ in range(100))
        assert go.wait(10)
        # Answers that share segments, and are cut anywhere, are still told apart.
        peer.send(b"".join(created(number) for number in range(1, 101)), 7)
        peer.wait_for_end()

    with fake_server(script) as url, Publisher(url) as publisher:
        for number in range(100):
            publisher.publish(number, due_us=number)
        assert not publisher.drain(timeout_s=0.05)
        assert {record.id for record in publisher.records} == {None}
        assert {record.answered_us for record in publisher.records} == {None}
        go.set()
        assert publisher.drain()
        assert [record.id for record in publisher.records] == list(range(1, 101))
    assert got == [{"data": number, "due_us": number} for number in range(100)]


def test_run_keeps_the_schedule(server: Server) -> None:
    """Each due time is the start plus its offset; none is left out."""
    before_us = time.time_ns() // 1000
    offsets = list(itertools.islice(schedule("poisson", 500, seed=3), 50))
    with Publisher(server.url, "c-run", payload_bytes=20) as publisher:
        publisher.run(iter(offsets), stop=threading.Event())
        assert publisher.drain()
        due = [record.due_us for record in publisher.records]
        assert len(publisher.data) == 20
    start_us = due[0] - round(offsets[0] * 1e6)
    assert start_us >= before_us
    assert due == [start_us + round(offset * 1e6) for offset in offsets]
    for record in publisher.records:
        assert record.written_us is not None
        assert record.written_us >= record.due_us - 1000  # two clocks: monotonic and real time


def test_a_late_run_leaves_nothing_out_and_shows_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was due while it was held up is written at once, with its own due time."""
    with Publisher(server.url, "c-late") as publisher:
        publish = publisher.publish

        def slow(data: object, due_us: int) -> object:
            if publisher.published == 2:
                time.sleep(0.2)
            return publish(data, due_us)

        monkeypatch.setattr(publisher, "publish", slow)
        publisher.run(schedule("constant", 100, seed=0), stop=threading.Event(), count=15)
        assert publisher.drain()
    late_us = [record.written_us - record.due_us for record in publisher.records if record.written_us]
    due_us = [record.due_us for record in publisher.records]
    assert len(late_us) == 15
    assert max(late_us) >= 190_000
    assert [round((due - due_us[0]) / 10_000) for due in due_us] == list(range(15))


def test_run_ends_by_seconds_or_by_stop(server: Server) -> None:
    """And at once, even when nothing is due for long."""
    with Publisher(server.url, "c-ends") as publisher:
        publisher.run(schedule("constant", 100, seed=0), stop=threading.Event(), seconds=0.1)
        assert publisher.published == 10
        stop = threading.Event()
        threading.Timer(0.1, stop.set).start()
        publisher.run(schedule("constant", 0.01, seed=0), stop=stop)
        stop.set()
        publisher.run(iter([-1.0]), stop=stop)
        assert publisher.published == 10


@pytest.mark.parametrize(
    ("reply", "error", "sentence"),
    [
        (http(b'{"title":"no","detail":"The log is full."}', "503 Busy"), Refused, "503: The log is full"),
        (http(b"{}", "400 Bad"), Refused, "400"),
        (http(b"[]", "201 Created"), BadAnswer, "without telling"),
        (http(b'{"id":"1"}', "201 Created"), BadAnswer, "without telling"),
        (b"gopher\r\n\r\n", BadAnswer, "not HTTP"),
        (created(1) + created(2), BadAnswer, "nobody made"),
        (b"", ConnectionLost, "closed the publisher's connection"),
    ],
)
def test_what_goes_wrong_is_raised_at_the_next_call(
    reply: bytes, error: type[Exception], sentence: str
) -> None:
    """And the records tell how far it came."""

    def script(peer: Peer, _: int) -> None:
        read_publish(peer)
        peer.send(reply)
        if reply:
            peer.wait_for_end()

    with fake_server(script) as url, Publisher(url) as publisher:
        publisher.publish("x", due_us=1)
        deadline = time.monotonic() + 10
        while publisher.error is None and time.monotonic() < deadline:
            time.sleep(0.005)
        with pytest.raises(error, match=sentence):
            publisher.drain()
        with pytest.raises(error, match=sentence):
            publisher.publish("y", due_us=2)
        assert len(publisher.records) == 1


def closing(number: int) -> bytes:
    return created(number).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


@pytest.mark.parametrize("end", ["in good order", "by a reset", "without a word more"])
def test_an_orderly_close_in_mid_pipeline_is_survived(end: str) -> None:
    """As nginx closes after keepalive_requests: what it has not answered it has not processed."""
    got: list[list[object]] = []
    more = threading.Event()

    def script(peer: Peer, number: int) -> None:
        got.append([])
        if number == 3:
            for _ in range(20):
                got[number].append(read_publish(peer)["data"])
                peer.send(created(int(str(got[number][-1]))))
            peer.wait_for_end()
            return
        got[number].extend(read_publish(peer)["data"] for _ in range(5))
        if number == 0:
            assert more.wait(10)
        first = int(str(got[number][0]))
        peer.send(created(first) + closing(first + 1))
        if end == "by a reset":
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif end == "without a word more":
            peer.wait_for_end()

    with fake_server(script) as url, Publisher(url) as publisher:
        for number in range(1, 21):
            publisher.publish(number, due_us=number)
        more.set()
        assert publisher.drain()
        assert [record.id for record in publisher.records] == list(range(1, 21))
        assert publisher.error is None
    # Each connection is asked anew for what the one before has not answered, in its order.
    assert [data[0] for data in got] == [1, 3, 5, 7]
    assert got[3] == list(range(7, 21))


def test_a_connection_that_idled_out_is_replaced() -> None:
    """Nothing was unanswered, so nothing is in doubt."""
    ended = threading.Event()

    def script(peer: Peer, number: int) -> None:
        read_publish(peer)
        peer.send(created(number + 1))
        if number == 0:
            peer.socket.shutdown(socket.SHUT_RDWR)
            ended.set()
        else:
            peer.wait_for_end()

    with fake_server(script) as url, Publisher(url) as publisher:
        publisher.publish("x", due_us=1)
        assert publisher.drain()
        assert ended.wait(10)
        deadline = time.monotonic() + 10
        while not publisher._ended and time.monotonic() < deadline:
            time.sleep(0.005)
        publisher.publish("y", due_us=2)
        assert publisher.drain()
        assert [record.id for record in publisher.records] == [1, 2]


def test_with_keys_a_lost_connection_is_made_good(
    any_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut anywhere by a proxy, before the server had it or after: each is there once, in its order."""
    monkeypatch.setattr(publisher_module, "RETRY_MOST_S", 0.1)
    cuts = [Cut("rst", up_bytes=700), Cut("fin", up_bytes=333), Cut("fin", down_bytes=70)] * 4
    with CuttingProxy(any_server.address, cuts) as proxy:
        with Publisher(proxy.url, "c-keyed", keyed=True) as publisher:
            for number in range(60):
                publisher.publish(number, due_us=number)
                time.sleep(0.01)
            assert publisher.drain(30)
            ids = [record.id for record in publisher.records]
        assert proxy.cuts == len(cuts)
    assert ids == list(range(1, 61))


def test_with_keys_a_server_that_asks_for_a_pause_is_asked_again() -> None:
    """By 503 as it stops; the same keys come again."""
    heads: list[list[str]] = []

    def script(peer: Peer, number: int) -> None:
        head = peer.read_request()
        heads.append([line for line in head.splitlines() if line.startswith("Idempotency-Key: ")])
        peer.send(http(b"{}", "503 Busy", "Retry-After: 0") if number == 0 else created(1))
        peer.wait_for_end()

    with fake_server(script) as url, Publisher(url, keyed=True) as publisher:
        publisher.publish("x", due_us=1)
        assert publisher.drain()
        assert [record.id for record in publisher.records] == [1]
    assert len(heads[0]) == 1
    assert heads[0] == heads[1]


@pytest.mark.parametrize("never", ["refuses", "closes"])
def test_with_keys_it_gives_up_in_the_end(never: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks ever more seldom till then, however the server fails."""
    monkeypatch.setattr(publisher_module, "RETRY_S", 1.0)
    asked: list[int] = []

    def script(peer: Peer, number: int) -> None:
        asked.append(number)
        read_publish(peer)
        if never == "refuses":
            peer.send(http(b'{"detail":"It stops."}', "503 Busy", "Retry-After: 0"))
            peer.wait_for_end()

    with fake_server(script) as url, Publisher(url, keyed=True) as publisher:
        publisher.publish("x", due_us=1)
        with pytest.raises(ConnectionLost, match="503: It stops" if never == "refuses" else "closed"):
            publisher.drain()
    # Pauses of 0.1, 0.2, 0.4 and 0.8 seconds.
    assert 3 <= len(asked) <= 5


def test_with_keys_an_idle_one_outlives_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ended with nothing unanswered, and at the next publish nobody listened for a moment."""
    monkeypatch.setattr(publisher_module, "RETRY_S", 0.5)

    def script(peer: Peer, number: int) -> None:
        for id_ in [2, 3] if number else [1]:
            read_publish(peer)
            peer.send(created(id_))
        if number:
            peer.wait_for_end()

    with fake_server(script) as url, Publisher(url, keyed=True) as publisher:
        publisher.publish("x", due_us=1)
        assert publisher.drain()
        deadline = time.monotonic() + 10
        while not publisher._ended and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.6)  # how long nothing was to be published does not count
        connect = publisher._connect
        absent = iter([ConnectionLost("nobody listens")] * 2)

        def connect_later() -> Connection:
            for error in absent:
                raise error
            return connect()

        monkeypatch.setattr(publisher, "_connect", connect_later)
        publisher.publish("y", due_us=2)
        publisher.publish("z", due_us=3)
        assert publisher.drain()
        assert [record.id for record in publisher.records] == [1, 2, 3]


def test_without_keys_its_bytes_are_what_they_were() -> None:
    """A benchmark's publisher is measured too."""
    heads: list[str] = []

    def script(peer: Peer, _: int) -> None:
        heads.append(peer.read_request())
        peer.send(created(1))
        peer.wait_for_end()

    with fake_server(script) as url, Publisher(url) as publisher:
        publisher.publish("x", due_us=1)
        assert publisher.drain()
    host = url.removeprefix("http://")
    assert heads == [
        f"POST /streams/main/notifications HTTP/1.1\r\nHost: {host}\r\n"
        "Content-Type: application/json\r\nContent-Length: 23"
    ]


def test_a_real_refusal_is_raised(server: Server) -> None:
    """A due time that is none."""
    with Publisher(server.url, "c-bad") as publisher:
        publisher.publish("x", due_us=-1)
        with pytest.raises(Refused, match="due_us"):
            publisher.drain()
        (record,) = publisher.records
        assert (record.status, record.id) == (400, None)


def test_memory_is_bounded_and_the_bound_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest records leave first, and are counted."""
    monkeypatch.setattr(publisher_module, "RECORDS", 10)
    with Publisher(server.url, "c-records") as publisher:
        for number in range(25):
            publisher.publish(number, due_us=number)
        assert publisher.drain()
        assert [record.due_us for record in publisher.records] == list(range(15, 25))
        assert publisher.forgotten == 15


def test_unanswered_publishes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers is told of, in the end."""
    monkeypatch.setattr(publisher_module, "UNANSWERED_MOST", 5)

    def script(peer: Peer, _: int) -> None:
        peer.wait_for_end()

    with fake_server(script) as url, Publisher(url) as publisher:
        for number in range(5):
            publisher.publish(number, due_us=number)
        with pytest.raises(ConnectionLost, match="5 publishes"):
            publisher.publish(5, due_us=5)


def test_after_close_nothing_is_published(server: Server) -> None:
    """It says so."""
    publisher = Publisher(server.url, "c-closed")
    publisher.close()
    with pytest.raises(ConnectionLost, match="closed"):
        publisher.publish("x", due_us=1)


@pytest.mark.parametrize("data", [float("nan"), float("inf"), {1, 2}, "\ud800"])
def test_what_json_has_no_word_for_is_refused_before_it_is_sent(server: Server, data: object) -> None:
    """And the connection stays good."""
    with Publisher(server.url, "c-json") as publisher:
        with pytest.raises((ValueError, TypeError)):
            publisher.publish(data, due_us=1)
        publisher.publish("fine", due_us=1)
        assert publisher.drain()


def test_nobody_listens() -> None:
    """The address is in the sentence."""
    with fake_server(lambda *_: None) as url:
        pass
    with pytest.raises(ConnectionLost, match=url.removeprefix("http://")):
        Publisher(url)


def test_poisson_gaps_are_exponential_and_come_from_the_seed() -> None:
    """Mean and standard deviation of the gaps are both 1/rate."""
    offsets = list(itertools.islice(schedule("poisson", 50, seed=7), 20_000))
    assert offsets == list(itertools.islice(schedule("poisson", 50, seed=7), 20_000))
    assert offsets[:5] != list(itertools.islice(schedule("poisson", 50, seed=8), 5))
    gaps = [later - earlier for earlier, later in itertools.pairwise([0.0, *offsets])]
    assert min(gaps) >= 0
    assert statistics.fmean(gaps) == pytest.approx(0.02, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.02, rel=0.05)


def test_on_off_comes_in_bursts_at_the_same_mean_rate() -> None:
    """From the seed; as many as Poisson over all time, but in a second of a burst five times as many."""
    offsets = list(itertools.islice(schedule("on-off", 20, seed=7), 100_000))
    assert offsets == list(itertools.islice(schedule("on-off", 20, seed=7), 100_000))
    assert offsets[:5] != list(itertools.islice(schedule("on-off", 20, seed=8), 5))
    assert all(earlier < later for earlier, later in itertools.pairwise(offsets))
    assert len(offsets) / offsets[-1] == pytest.approx(20, rel=0.1)
    gaps = sorted(later - earlier for earlier, later in itertools.pairwise(offsets))
    # Most gaps lie within a burst, where the mean is 1/100 s; a few span a pause of 2 s on average.
    assert statistics.median(gaps) == pytest.approx(math.log(2) / 100, rel=0.1)
    pauses = [gap for gap in gaps if gap > 0.3]
    assert statistics.fmean(pauses) == pytest.approx(2.3, rel=0.1)


def test_on_off_begins_on_as_often_as_it_is_on() -> None:
    """So the first second has as many as any other, over many seeds."""
    firsts = [
        sum(1 for _ in itertools.takewhile(lambda due_s: due_s < 1, schedule("on-off", 20, seed=seed)))
        for seed in range(2000)
    ]
    assert statistics.fmean(firsts) == pytest.approx(20, rel=0.1)


def test_constant_gaps_do_not_drift() -> None:
    """The millionth is where it belongs."""
    offsets = schedule("constant", 10, seed=7)
    assert next(offsets) == 0.1
    assert next(itertools.islice(offsets, 999_998, None)) == 100_000


@pytest.mark.parametrize(
    ("kind", "rate"), [("poisson", 0), ("constant", -1), ("poisson", float("nan")), ("bursty", 1)]
)
def test_schedules_that_make_no_sense(kind: str, rate: float) -> None:
    """Refused with what would."""
    with pytest.raises(ValueError, match=r"must be"):
        next(schedule(kind, rate, seed=0))  # type: ignore[arg-type]


def test_filler_has_its_size_and_hardly_compresses() -> None:
    """So that compression, where it is a factor, is not flattered."""
    import zlib

    assert len(json.dumps(filler(100))) == 102
    assert filler(0) == ""
    assert filler(50, seed=1) != filler(50, seed=2)
    assert len(zlib.compress(filler(10_000).encode())) > 7000
