"""The probes' evidence, from a real server: what was on the wire, and nothing made up."""

import base64
import hashlib
import re

import pytest
from conftest import Server

from bench.systems.wirelab import Wirelab
from bench.trials import probes


def test_upgrade_shows_a_whole_handshake_and_both_ways(server: Server) -> None:
    """101, the right accept, and as many messages back as were sent, on the same TCP connection."""
    found = probes.upgrade(server.url)
    assert found["status"] == 101
    assert found["request_bytes"] == len(found["request"])
    assert found["response_bytes"] == len(found["response"])
    key = re.search(r"Sec-WebSocket-Key: (\S+)", found["request"])
    assert key is not None
    digest = hashlib.sha1((key[1] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    assert f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}" in found["response"]
    assert found["messages_sent"] == found["messages_received"] == probes.ROUND_TRIPS
    assert found["same_connection"] is True
    for name in ("websocket_round_trip_ms", "post_round_trip_ms"):
        assert len(found[name]) == probes.ROUND_TRIPS
        assert min(found[name]) > 0


def test_the_handshake_as_the_article_prints_it(server: Server) -> None:
    """Its five lines and no more are refused with a 4xx; with key and version both it is 101."""
    found = probes.as_printed(server.url)
    names = [line.partition(":")[0] for line in found["printed"]["request"].strip().split("\r\n")[1:]]
    assert names == ["Origin", "Connection", "Host", "Upgrade"]
    assert "websocket.example.com" not in found["printed"]["request"]
    assert 400 <= found["printed"]["status"] < 500
    assert found["completed"]["status"] == 101
    for one in ("key_only", "version_only"):
        assert 400 <= found[one]["status"] < 500
    assert "application/problem+json" in found["printed"]["response"]


def test_welcome_greets_each_of_several_clients(server: Server) -> None:
    """The first message that each of them gets; all of them are connected at once."""
    found = probes.welcome(server.url)
    assert found["clients"] == len(found["messages"]) == probes.WELCOME_CLIENTS
    assert found["messages"] == ["web Socket Works"] * probes.WELCOME_CLIENTS


def test_a_probe_runs_on_a_server_of_its_own() -> None:
    """And ends it."""
    assert probes.run("as-printed")["completed"]["status"] == 101


def test_a_probe_that_cannot_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on without it."""
    monkeypatch.setattr(Wirelab, "url", lambda system, line: "http://127.0.0.1:9")
    assert "refused" in probes.run("upgrade")["error"]
