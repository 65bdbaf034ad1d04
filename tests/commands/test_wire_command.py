"""`wirelab wire` with a server that lacks a transport: the one that is asked for must be there, no other."""

from __future__ import annotations

import json

import pytest
from conftest import Server

from bench.cli import main
from clients import TRANSPORTS
from clients.errors import Refused
from clients.explain import exchange
from clients.headers import HeaderSet

LACKED = ("sse", "socketio", "socketio-polling")


def test_a_transport_that_the_server_lacks_is_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    performed = exchange.exchange

    def lacking(url: str, transport: str, headers: HeaderSet) -> exchange.Exchange:
        if transport in LACKED:
            raise Refused(404, "There is no such transport.")
        return performed(url, transport, headers)

    monkeypatch.setattr(exchange, "exchange", lacking)
    assert main(["wire", "short-poll", "--url", server.url, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["delivered"]) == set(TRANSPORTS) - set(LACKED)
    assert main(["wire", "sse", "--url", server.url]) == 1
    assert f"no exchange with {server.url}: " in capsys.readouterr().err
