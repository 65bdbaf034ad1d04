"""Systems as tests run them: started as a trial starts them, followed through a proxy that cuts
connections."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cutting_proxy import CuttingProxy, random_cuts

from bench.systems.registry import SYSTEMS
from bench.systems.system import Options, System
from bench.trials.processes.child import Child
from bench.trials.processes.own_server import url_of
from clients import subscriber as subscribers
from clients.subscriber import Delivery, Subscriber

HEAD = """
name = "systems"
question = "?"
prediction = "!"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1
"""
"""What a scenario begins with that measures each cell once."""
NCHAN = SYSTEMS["nchan"]
needs_nchan = pytest.mark.skipif(NCHAN.missing() is not None, reason=str(NCHAN.missing()))
CLIENTS = 2
"""Of each transport."""
PUBLISHED = 40
PUBLISH_S = 0.03
WITHIN_S = 30.0
LIFE_S = 0.4
OPTIONS = Options(max_subscribers=80, ping_interval_s=5.0)


@dataclasses.dataclass
class Running:
    """A system's server."""

    system: System
    child: Child
    url: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port


@contextmanager
def running(system: System, scratch: Path, **asked: Any) -> Iterator[Running]:
    """Start it with these options, and end it."""
    options = dataclasses.replace(OPTIONS, **asked)
    child = Child("server", system.command(options, scratch), errors=scratch / "server.log", core=None)
    try:
        yield Running(system, child, url_of(system, child))
    finally:
        child.end()


class Following(threading.Thread):
    """One client, and what it was given."""

    def __init__(self, client: Subscriber) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.given: list[Delivery] = []
        self.start()

    def run(self) -> None:
        for delivery in self.client:
            self.given.append(delivery)

    @property
    def ids(self) -> list[int]:
        return [delivery.id for delivery in self.given]


def until(condition: Callable[[], object]) -> None:
    """Wait for it."""
    until_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until_s, "it did not come true in time"
        time.sleep(0.01)


def follow_through_cuts(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client joins at the head, loses connections, and is given everything once, in order."""
    monkeypatch.setattr(subscribers, "BACKOFF_MOST_S", 0.2)
    with server.system.publisher(server.url, "main", 20) as publisher:
        for _ in range(3):
            publisher.publish("before anybody was there", time.time_ns() // 1000)
        assert publisher.drain()
        # Not all systems send what tells a black hole from a silent stream.
        cuts = (cut for cut in random_cuts(seed=1, life_s=LIFE_S) if cut.kind != "black hole")
        with CuttingProxy(server.address, cuts, asks=b"main") as proxy:
            following = [
                Following(client(proxy.url, poll_interval_s=0.05, wait_s=5.0, seed=number))
                for client in server.system.transports.values()
                for number in range(CLIENTS)
            ]
            until(lambda: all(one.client.joined for one in following))
            published = []
            for number in range(PUBLISHED):
                published.append(publisher.publish({"é": number}, time.time_ns() // 1000))
                time.sleep(PUBLISH_S)
            assert publisher.drain()
            until(lambda: all(one.ids[-1:] == [PUBLISHED + 3] for one in following))
            for one in following:
                one.client.close()
                one.join(WITHIN_S)
    assert [record.id for record in published] == list(range(4, PUBLISHED + 4))
    for one in following:
        receiver = one.client.receiver
        assert one.ids == list(range(4, PUBLISHED + 4)), one.client.transport
        assert [delivery.data["é"] for delivery in one.given] == list(range(PUBLISHED))
        assert [delivery.due_us for delivery in one.given] == [record.due_us for record in published]
        assert (one.client.joined_id, receiver.missed, receiver.duplicates, receiver.lost) == (3, 0, 0, 0)
        assert one.client.reconnects > 0, one.client.transport
