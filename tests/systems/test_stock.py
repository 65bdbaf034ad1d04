"""The stock server, started as a trial starts it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest
from processes import all_gone, descendants
from running import Following, follow_through_cuts, running, until

from bench.systems.registry import SYSTEMS
from clients.long_poll import LongPollSubscriber

pytestmark = pytest.mark.long

STOCK = SYSTEMS["stock"]


@pytest.mark.parametrize("server_model", STOCK.server_models)
def test_clients_follow_it_through_lost_connections(
    server_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(STOCK, tmp_path, server_model=server_model) as server:
        follow_through_cuts(server, monkeypatch)


def test_a_gap_and_a_new_process_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the contract has it, so that no client waits for what will not come."""
    from bench.systems.stock import app as stock

    monkeypatch.setattr(stock, "streams", {"short": stock.Stream()})
    stream = stock.streams["short"]
    monkeypatch.setattr(stream, "_held", type(stream._held)(maxlen=2))
    for number in range(5):
        stream.publish(number, None)
    client = stock.app.test_client()

    def ask(after: str) -> tuple[list[int], str, int | None]:
        batch = client.get(f"/streams/short/long-poll?wait=30&after={after}").json
        return [one["id"] for one in batch["notifications"]], batch["cursor"], batch["missed"]

    assert ask(f"{stock.EPOCH}.1") == ([4, 5], f"{stock.EPOCH}.5", 2)
    assert ask(f"{stock.EPOCH}.4") == ([5], f"{stock.EPOCH}.5", 0)
    assert ask("another.4") == ([4, 5], f"{stock.EPOCH}.5", None)


@pytest.mark.parametrize("server_model", STOCK.server_models)
def test_nothing_is_left_when_it_is_killed(server_model: str, tmp_path: Path) -> None:
    """Its master alone, while a client waits."""
    with running(STOCK, tmp_path, server_model=server_model) as server:
        waiting = Following(LongPollSubscriber(server.url, wait_s=20.0))
        until(lambda: waiting.client.joined)
        with urlopen(f"{server.url}/streams/main/short-poll") as answer:
            assert json.load(answer)["notifications"] == []
        started = [server.child.pid, *descendants(server.child.pid)]
        assert len(started) > 1
        os.kill(server.child.pid, signal.SIGKILL)
        server.child.process.wait()
        assert all_gone(started)
        waiting.client.close()
        waiting.join()
