"""While it stops, the server answers what is new with 503, and what it holds with what there is."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import pytest
from conftest import Server
from models import ON_THE_WIRE
from raw import TIMEOUT_S, Answer, ask, publish, stats

from servers.refusals import Stopping
from servers.settings import Settings
from servers.stream import Streams

JSON = {"Content-Type": "application/json"}
REQUESTS: list[tuple[str, str, bytes | None]] = [
    ("GET", "/streams/main/short-poll", None),
    ("GET", "/streams/main/long-poll?wait=20", None),
    ("GET", "/streams/new/long-poll?wait=0", None),
    ("POST", "/streams/main/notifications", b'{"data":1}'),
    ("POST", "/streams/new/notifications", b'{"data":1}'),
]


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_new_polls_and_publishes_are_503_and_held_ones_get_what_there_is(
    serve: Callable[..., Server], model: str
) -> None:
    server = serve("--server-model", model)
    cursor = publish(server, "main", 0).json["cursor"]
    held: list[Answer] = []
    poll = threading.Thread(
        target=lambda: held.append(ask(server, "GET", f"/streams/main/long-poll?after={cursor}&wait=60"))
    )
    with ExitStack() as stack:
        kept = []
        for _ in REQUESTS:
            connection = http.client.HTTPConnection(*server.address, timeout=TIMEOUT_S)
            kept.append(stack.enter_context(closing(connection)))
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        poll.start()
        deadline = time.monotonic() + 10
        while stats(server, "main")["transports"]["long-poll"]["subscribers"] < 1:
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGTERM)
        poll.join()
        for connection, (method, path, body) in zip(kept, REQUESTS, strict=True):
            connection.request(method, path, body, JSON if body else {})
        for connection in kept:
            response = connection.getresponse()
            assert response.status == 503
            # Soon, since another server may take its place: a client that waits longer is late for it.
            assert response.headers["Retry-After"] == "1"
            assert response.headers["Content-Type"] == "application/problem+json"
            assert "stopping" in json.loads(response.read())["detail"]
    assert (held[0].status, held[0].json["cursor"]) == (200, cursor)
    assert server.process.wait(15) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("ask_for", ["get", "refuse_if_stopping"])
def test_nobody_begins_to_wait(ask_for: str) -> None:
    streams = Streams(Settings())
    arguments: tuple[Any, ...] = ("main",) if ask_for == "get" else ()
    getattr(streams, ask_for)(*arguments)
    streams.stop()
    with pytest.raises(Stopping):
        getattr(streams, ask_for)(*arguments)
