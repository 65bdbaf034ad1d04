"""Heartbeats on the wire and their timer; pings after a pause of the server."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from conftest import Server
from models import ON_THE_WIRE, serving_process
from raw import RawWebSocket, publish, refused_upgrade
from wsproto.events import BytesMessage, Ping

from servers.heartbeat import Heartbeats
from servers.pinger import TICKS_AN_INTERVAL, Pinger
from servers.stream import Waiter

pytestmark = pytest.mark.long


def batches(client: RawWebSocket, seconds: float) -> list[Any]:
    """The batches that come in the next seconds."""
    found = []
    deadline = time.monotonic() + seconds
    while (remaining := deadline - time.monotonic()) > 0:
        client.socket.settimeout(remaining)
        try:
            found.append(json.loads(client.message()))
        except TimeoutError:
            break
    return found


def test_an_empty_batch_comes_if_nothing_was_sent_for_so_long(wire_server: Server) -> None:
    stream = "heartbeat-idle"
    head = publish(wire_server, stream, "before").json["cursor"]
    with (
        closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket?heartbeat=1")) as asked,
        closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as unasked,
    ):
        asked.message()
        unasked.message()
        began_s = time.monotonic()
        first = json.loads(asked.message())
        assert time.monotonic() - began_s > 0.9
        assert first == {"notifications": [], "cursor": head, "missed": 0}
        cursor = publish(wire_server, stream, "news").json["cursor"]
        assert [each["data"] for each in json.loads(asked.message())["notifications"]] == ["news"]
        assert json.loads(asked.message()) == {"notifications": [], "cursor": cursor, "missed": 0}
        assert [len(each["notifications"]) for each in batches(unasked, 0.2)] == [1]


def test_none_comes_while_there_is_news(wire_server: Server) -> None:
    stream = "heartbeat-busy"
    with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket?heartbeat=1")) as client:
        client.message()
        for number in range(8):
            time.sleep(0.2)
            publish(wire_server, stream, number)
        assert [len(each["notifications"]) for each in batches(client, 0.3)] == [1] * 8


@pytest.mark.parametrize(
    "value", ["0", "61", "1.5", "-1", "", "01", "+1", "1&heartbeat=1", "%D9%A3", "1%20", "1e1", "nan"]
)
def test_other_values_are_refused(server: Server, value: str) -> None:
    answer = refused_upgrade(server, f"/streams/heartbeat/websocket?heartbeat={value}")
    assert answer.status == 400
    assert "1 to 60" in answer.json["detail"]


@pytest.mark.parametrize("value", [1, 9, 10, 59, 60])
def test_whole_numbers_are_taken(server: Server, value: int) -> None:
    with closing(RawWebSocket(server, f"/streams/heartbeat/websocket?heartbeat={value}")) as client:
        assert b'"cursor"' in client.message()


def test_the_timer_nudges_once_after_a_pause_and_only_who_was_sent_nothing() -> None:
    heartbeats = Heartbeats()
    idle, busy = Waiter(), Waiter()
    with heartbeats.watching(idle, 10) as quiet, heartbeats.watching(busy, 10) as sending:
        assert quiet and sending
        sending.sent_s += 35
        heartbeats.tick(quiet.sent_s + 40)
        assert (idle.nudged, busy.nudged) == (True, False)
        idle.nudged = False
        heartbeats.tick(quiet.sent_s + 41)
        assert (idle.nudged, busy.nudged) == (False, False)
        heartbeats.tick(quiet.sent_s + 46)
        assert (idle.nudged, busy.nudged) == (False, True)
    idle.nudged = busy.nudged = False
    heartbeats.tick(time.monotonic() + 1000)
    assert not (idle.nudged or busy.nudged), "who has gone is forgotten"


class PingTimes:
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def ping(self, now_s: float) -> None:
        self.times_s.append(now_s)


@pytest.mark.parametrize("pause_s", [3.0, 30.0, 3600.0])
def test_pings_are_not_caught_up_on(monkeypatch: pytest.MonkeyPatch, pause_s: float) -> None:
    monkeypatch.setattr(Pinger, "_run", lambda pinger: None)
    pinger = Pinger(1.0)
    connection: Any = PingTimes()
    tick_s = 1.0 / TICKS_AN_INTERVAL
    with pinger.watching(connection):
        for _ in range(3 * TICKS_AN_INTERVAL + 1):
            pinger.tick(tick_s)
        assert len(connection.times_s) == 3
        pinger.tick(pause_s)
        for _ in range(TICKS_AN_INTERVAL):
            pinger.tick(tick_s)
        assert len(connection.times_s) <= 5
        gaps_s = [
            later - sooner for sooner, later in zip(connection.times_s, connection.times_s[1:], strict=False)
        ]
        assert all(gap_s == pytest.approx(1.0, abs=0.1) for gap_s in gaps_s)


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_a_healthy_peer_outlives_a_pause_of_the_server(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--ping-interval-s", "0.4")
    pid = server.process.pid
    worker = serving_process(pid)
    with closing(RawWebSocket(server, "/streams/main/websocket")) as client:
        client.message()
        assert isinstance(next(client.events()), Ping)
        os.kill(worker, signal.SIGSTOP)
        try:
            # The pong lies there when the server goes on, three intervals late.
            client.socket.sendall(client.wire.send(Ping().response()))
            time.sleep(1.2)
        finally:
            os.kill(worker, signal.SIGCONT)
        resumed_s = time.monotonic()
        pings_s = []
        publish(server, "main", "after")
        for event in client.events():
            if isinstance(event, Ping):
                pings_s.append(time.monotonic() - resumed_s)
                client.socket.sendall(client.wire.send(event.response()))
            if len(pings_s) == 4:
                break
            assert isinstance(event, Ping | BytesMessage)
        assert pings_s[2] - pings_s[0] > 0.6
