"""One peer that sends without pause slows nobody else: a hundred bystanders' latency, quiet and flooded.

Both are measured on one server, one after the other. A busy machine may spoil a measurement, so there are
three attempts. If peers do not take turns, latency grows to the flood's length and each attempt fails.
"""

import re
import selectors
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Server
from frames import BINARY, CONTINUATION, PING, TEXT, frame
from raw import RawWebSocket, ask, publish

from servers.turns import (
    GLANCE_S,
    PAUSE_S,
    PROLONGED_S,
    SLICE_S,
    Turn,
    _until_loop_is_idle,
    _until_pause_is_short,
)

pytestmark = [pytest.mark.alone, pytest.mark.long]

BYSTANDERS = 100
NOTIFICATIONS = 30
GAP_S = 0.025
ATTEMPTS = 3
FLOODER = Path(__file__).with_name("flooder.py")
DUE_US = re.compile(rb'"due_us":(\d+),"accepted_us":\d+,"data":"timed"')

FRAGMENTS = frame(BINARY, fin=False) + 500 * frame(CONTINUATION, fin=False) + frame(CONTINUATION)
FLOODS = {
    "pings": ["/streams/flooded/websocket", frame(PING).hex()],
    "texts": ["/welcome/websocket", frame(TEXT, b"x" * 10).hex()],
    "publishes": ["/streams/flooded/websocket", frame(TEXT, b'{"data":1}').hex()],
    "fragments": ["/echo", FRAGMENTS.hex()],
    "student's": ["/streams/whiteboard/websocket", frame(TEXT, b'{"data":1}').hex(), "again"],
    "refused": ["/streams/flooded/websocket", frame(BINARY, b"x").hex(), "again"],
}


@contextmanager
def flooding(server: Server, flood: str, flooders: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Flooders that have begun, and that end with the block."""
    command = [sys.executable, str(FLOODER), str(server.address[1]), *FLOODS[flood]]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(flooders)
        ]
        try:
            for process in processes:
                assert process.stdout
                assert process.stdout.readline() == "flooding\n"
            yield processes
        finally:
            for process in processes:
                process.kill()


def p99_s(server: Server, bystanders: list[RawWebSocket]) -> float:
    """Of what is published now, from before its request to its arrival at each of the bystanders."""

    def publish_all() -> None:
        for _ in range(NOTIFICATIONS):
            began_s = time.monotonic()
            publish(server, "bystanders", "timed", due_us=time.time_ns() // 1000)
            time.sleep(max(0.0, began_s + GAP_S - time.monotonic()))

    latencies_s: list[float] = []
    publisher = threading.Thread(target=publish_all)
    publisher.start()
    deadline = time.monotonic() + 30
    with selectors.DefaultSelector() as selector:
        for bystander in bystanders:
            selector.register(bystander.socket, selectors.EVENT_READ)
        while len(latencies_s) < NOTIFICATIONS * len(bystanders):
            assert time.monotonic() < deadline, "not all was delivered"
            for key, _ in selector.select(1.0):
                # Small batches come whole.
                received = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                now_s = time.time()
                latencies_s += [now_s - int(due_us) / 1e6 for due_us in DUE_US.findall(received)]
    publisher.join()
    return statistics.quantiles(latencies_s, n=100)[98]


@pytest.mark.parametrize(
    ("flood", "flooders"), [("publishes", 1), ("fragments", 1), ("refused", 1), ("pings", 8), ("texts", 8)]
)
def test_bystanders_do_not_wait_for_a_flood(wire_server: Server, flood: str, flooders: int) -> None:
    server = wire_server
    measured = []
    with ExitStack() as stack:
        bystanders = [
            stack.enter_context(closing(RawWebSocket(server, "/streams/bystanders/websocket")))
            for _ in range(BYSTANDERS)
        ]
        for bystander in bystanders:
            bystander.message()
        for _ in range(ATTEMPTS):
            quiet_s = p99_s(server, bystanders)
            with flooding(server, flood, flooders) as processes:
                flooded_s = p99_s(server, bystanders)
                assert ask(server, "GET", "/healthz").status == 200
                assert all(process.poll() is None for process in processes), "they flood to the end"
            measured.append((quiet_s, flooded_s))
            if flooded_s <= (max(2 * quiet_s, quiet_s + 0.01) if flooders == 1 else quiet_s + 0.1):
                return
    pytest.fail(f"p99 quiet and flooded, in seconds: {measured}")


def test_a_refused_student_does_not_stop_the_class(demo: Callable[..., Server]) -> None:
    """Over the rate he is told 1013; what he goes on sending is nobody's concern."""
    server = demo("--lan")

    def slowest_s() -> float:
        times_s = []
        for _ in range(30):
            began_s = time.monotonic()
            assert ask(server, "GET", "/healthz").status == 200
            times_s.append(time.monotonic() - began_s)
        return max(times_s)

    for _ in range(ATTEMPTS):
        quiet_s = slowest_s()
        with flooding(server, "student's", 2):
            with closing(RawWebSocket(server, "/streams/whiteboard/websocket")) as student:
                student.message()
                for _ in range(100):
                    student.send('{"data":1}')
                assert student.close_event().code == 1013
            flooded_s = slowest_s()
        if flooded_s <= quiet_s + 0.1:
            return
    pytest.fail(f"the slowest answer, quiet and flooded, in seconds: {quiet_s}, {flooded_s}")


def test_who_waits_now_and_then_never_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work of four fifths of a slice, again and again, with waits as long between."""
    now_s = [0.0]
    gave_way = []
    monkeypatch.setattr("servers.turns.time.monotonic", lambda: now_s[0])
    monkeypatch.setattr("servers.turns.Queue.give_way", lambda queue: gave_way.append(now_s[0]))
    turn = Turn()
    for _ in range(10):
        now_s[0] += 0.8 * SLICE_S
        turn.worked()
        now_s[0] += 0.8 * SLICE_S
        turn.waited()
    assert not gave_way
    now_s[0] += 0.8 * SLICE_S
    turn.worked()
    now_s[0] += 0.8 * SLICE_S
    turn.worked()
    assert len(gave_way) == 1


@pytest.mark.parametrize(
    ("alone", "prolonged", "slept_s"),
    [
        (True, 0, [GLANCE_S]),
        (True, 1, [GLANCE_S, PAUSE_S]),
        (True, 2, [GLANCE_S, PAUSE_S, PAUSE_S]),
        (False, 0, [PAUSE_S]),
        (False, 1, [PAUSE_S, PAUSE_S]),
    ],
)
def test_who_is_alone_only_looks_for_others(
    monkeypatch: pytest.MonkeyPatch, alone: bool, prolonged: int, slept_s: list[float]
) -> None:
    """Each pause that others prolong is followed by one of full length."""
    now_s = [0.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now_s[0] += seconds + (2 * PROLONGED_S if len(slept) <= prolonged else 0.0)

    monkeypatch.setattr("servers.turns.time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep))
    _until_pause_is_short(1.0, alone)
    assert slept == slept_s


@pytest.mark.parametrize(
    ("alone", "prolonged_s", "slept_s"),
    [
        (True, 0.0, [GLANCE_S]),
        (True, 2 * PROLONGED_S, [GLANCE_S, PAUSE_S]),
        (False, 0.0, [PAUSE_S]),
        (False, 2 * PROLONGED_S, [PAUSE_S]),
    ],
)
def test_so_does_a_greenlet(
    monkeypatch: pytest.MonkeyPatch, alone: bool, prolonged_s: float, slept_s: list[float]
) -> None:
    """The others' time is what passes until the loop is idle."""
    now_s = [0.0]
    slept: list[float] = []

    def let_pass(seconds: float) -> None:
        now_s[0] += seconds

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        let_pass(seconds)

    monkeypatch.setattr("servers.turns.time", SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep))
    monkeypatch.setattr("gevent.monkey.get_original", lambda *_: sleep)
    monkeypatch.setattr("gevent.sleep", sleep)
    monkeypatch.setattr("gevent.idle", lambda: let_pass(prolonged_s))
    _until_loop_is_idle(1.0, alone)
    assert slept == slept_s
