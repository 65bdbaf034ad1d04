"""nginx with nchan, started as a trial starts it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from processes import all_gone, descendants
from running import NCHAN, Following, Running, follow_through_cuts, needs_nchan, running, until

from bench.systems.nchan import program
from bench.systems.nchan.publisher import NchanPublisher

pytestmark = pytest.mark.long


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(NCHAN, tmp_path) as started:
        yield started


@needs_nchan
def test_clients_follow_it_through_lost_connections(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    follow_through_cuts(server, monkeypatch)


@needs_nchan
def test_a_second_publisher_goes_on_with_the_ids(server: Running) -> None:
    """Also on a stream that nobody has primed; and each message has the bytes of our batch."""
    for stream in ("main", "other"):
        for number in (1, 2):
            with NchanPublisher(server.url, stream, payload_bytes=5) as publisher:
                record = publisher.publish("ü", 1234)
                assert publisher.drain()
                assert record.id == number
        with urlopen(f"{server.url}/short-poll?stream={stream}") as answer:
            assert answer.read().decode() == (
                '{"notifications":[{"id":2,"due_us":1234,"accepted_us":1234,"data":"ü"}],'
                '"cursor":"nchan000.2","missed":0}'
            )


@needs_nchan
def test_a_short_poll_catches_up_in_one_tick(server: Running) -> None:
    """nchan answers with one message: a client that asked once a tick would fall behind for good."""
    following = Following(NCHAN.transports["short-poll"](server.url, poll_interval_s=1.0))
    until(lambda: following.client.joined)
    with NCHAN.publisher(server.url, "main", 5) as publisher:
        for _ in range(20):
            publisher.publish("", time.time_ns() // 1000)
        assert publisher.drain()
        until(lambda: len(following.given) == 20)
    assert following.given[-1].received_us - following.given[0].received_us < 1_000_000
    following.client.close()
    following.join()


@needs_nchan
def test_a_wait_that_ends_keeps_the_connection(tmp_path: Path) -> None:
    """A long poll is held for as long as a WebSocket's ping is away; then it is answered with nothing new."""
    with running(NCHAN, tmp_path, ping_interval_s=1.0) as server:
        following = Following(NCHAN.transports["long-poll"](server.url, wait_s=1.0))
        until(lambda: following.client.empty_responses == 3)
        with NCHAN.publisher(server.url, "main", 5) as publisher:
            publisher.publish("", time.time_ns() // 1000)
            until(lambda: following.ids == [1])
        following.client.close()
        following.join()
    assert following.client.reconnects == 0
    assert following.client.last_error is None


@needs_nchan
@pytest.mark.parametrize("killed", ["script", "master", "worker", "stopped"])
def test_nothing_is_left_behind(server: Running, killed: str) -> None:
    """Whatever is killed: the script, nginx's master, a worker before; or if an operator ends it."""
    script = server.child.pid
    master = next(iter(pid for pid, command in descendants(script).items() if "master" in command))
    [worker] = descendants(master)
    until(lambda: "worker" in descendants(master).get(worker, ""))
    if killed == "worker":
        # The master starts another, which is not left behind either.
        os.kill(worker, signal.SIGKILL)
        until(lambda: worker not in descendants(master) and descendants(master))
        [worker] = descendants(master)
    os.kill(
        master if killed == "master" else script, signal.SIGTERM if killed == "stopped" else signal.SIGKILL
    )
    server.child.process.wait()
    assert all_gone([script, master, worker])


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what to install. A module without nginx is not enough, nor nginx without the module."""
    nginx, module = tmp_path / "nginx", tmp_path / program.MODULE
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(program, "PLACES", ())
    monkeypatch.setattr(program, "MODULES", (str(tmp_path),))
    told = "it needs nginx with nchan; on Debian: apt-get install nginx libnginx-mod-nchan"
    assert (NCHAN.missing(), NCHAN.version()) == (told, None)
    module.write_bytes(b"...\0001.3.6\0...")
    assert NCHAN.missing() == told
    nginx.write_text("#!/bin/sh\necho nginx version: nginx/1.22.1 >&2\n")
    nginx.chmod(0o755)
    assert NCHAN.missing() is None
    assert NCHAN.version() == "nginx 1.22.1, nchan 1.3.6"
    module.unlink()
    assert NCHAN.missing() == told
