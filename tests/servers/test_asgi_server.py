"""What the server model `asgi` is made of; on the wire the contract's tests hold it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from conftest import Server
from gunicorn.asgi.parser import LimitRequestHeaders
from models import serving_process
from raw import RawPolling, RawWebSocket, connect_packet, publish, stats
from waiting import until

from servers.asgi_server.application import Application
from servers.asgi_server.events import EXTENSION, OVER
from servers.asgi_server.parser import CHUNKS_AT_ONCE, KEPT, Parser
from servers.asyncio_server.requests import Request, fields_of, read_line
from servers.drafts import parse_draft
from servers.rules.frames import TextFrames
from servers.rules.heads import MAX_HEAD_BYTES
from servers.settings import Settings
from servers.stream import JOINED_BYTES

HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


def parser(taken: list[bytes] | None = None) -> Parser:
    return Parser(on_body=None if taken is None else taken.append)


def test_many_small_chunks_are_read_in_turns() -> None:
    taken: list[bytes] = []
    reads = parser(taken)
    reads.feed(HEAD + b"1\r\na\r\n" * (3 * CHUNKS_AT_ONCE) + b"0\r\n\r\n" + GET)
    turns = 0
    while reads.is_interrupted:
        assert len(taken) <= (turns + 1) * CHUNKS_AT_ONCE
        turns += 1
        reads.feed(KEPT)
    assert turns == 3
    assert (reads.is_complete, b"".join(taken)) == (True, b"a" * 3 * CHUNKS_AT_ONCE)
    assert reads.unread == len(GET)


def test_what_is_behind_a_request_is_read_where_it_begins() -> None:
    reads = parser()
    reads.feed(GET * 3 + GET[:20])
    for _ in range(3):
        assert (reads.is_complete, reads.path) == (True, b"/healthz")
        assert reads.remaining() is KEPT
        reads.reset()
        reads.feed(KEPT)
    assert not reads.is_complete
    assert reads.has_begun
    reads.feed(GET[20:])
    assert (reads.is_complete, reads.remaining()) == (True, b"")


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_head_is_bounded_in_all(size: int) -> None:
    field = b"A: " + b"b" * 4000 + b"\r\n"
    sent = GET[:-2] + field * (MAX_HEAD_BYTES // len(field) + 1) + b"\r\n"
    reads = parser()
    with pytest.raises(LimitRequestHeaders):
        for at in range(0, len(sent), size):
            reads.feed(sent[at : at + size])


def test_a_text_for_many_is_put_into_a_frame_once_and_a_large_one_is_not_kept() -> None:
    frames = TextFrames()
    text = "é" * 100
    assert frames.of(text) is frames.of(text)
    assert frames.of(text) == b"\x81\x7e\x00\xc8" + text.encode()
    large = "x" * (JOINED_BYTES + 1)
    assert frames.of(large) == frames.of(large)
    assert frames.of(large) is not frames.of(large)


async def nothing(message: dict[str, Any]) -> None:
    """The socket takes all at once."""


async def asked(
    app: Application, target: bytes, takes: Callable[[dict[str, Any]], Awaitable[None]] = nothing
) -> list[dict[str, Any]]:
    """What the application sends for a GET, without a worker, to a socket that takes it."""
    headers = ((b"host", b"localhost"),)
    request = Request(read_line(b"GET %b HTTP/1.1" % target), fields_of(headers, 20))
    client = SimpleNamespace(asked=request, peer="127.0.0.1", end_after=lambda: None, is_gone=False)
    scope = {"type": "http", "headers": list(headers), "extensions": {EXTENSION: client}}
    events = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop()
        told: asyncio.Queue[dict[str, Any]] = client.told
        return await told.get()

    async def send(message: dict[str, Any]) -> None:
        await takes(message)
        sent.append(message)

    client.told = asyncio.Queue()
    client.tell = client.told.put_nowait
    await app(scope, receive, send)
    return sent


def test_the_application_tells_all_who_wait_of_what_came_in_one_turn() -> None:
    """Two notifications at once are one batch, whose bytes are everybody's."""
    app = Application(Settings())
    answers: list[list[dict[str, Any]]] = []

    async def serve() -> None:
        app.begin(asyncio.get_running_loop(), ["127.0.0.1"])
        polls = [asyncio.create_task(asked(app, b"/streams/main/long-poll?wait=30")) for _ in range(3)]
        stream = app.streams.to_publish("main")
        while stream.usage["long-poll"].subscribers < len(polls):
            await asyncio.sleep(0.001)
        for number in range(2):
            stream.publish(parse_draft(b'{"data":%d}' % number))
        answers.extend(await asyncio.gather(*polls))
        assert stream.usage["long-poll"].subscribers == 0
        assert stream.usage["long-poll"].notifications == 2 * len(polls)

    # In a thread of its own: in this one a browser's loop may be running.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, serve()).result()
    bodies = [body["body"] for _, body in answers]
    assert [start["status"] for start, _ in answers] == [200] * 3
    assert [each["data"] for each in json.loads(bodies[0])["notifications"]] == [0, 1]
    assert all(body is bodies[0] for body in bodies)


def test_a_wait_that_is_over_as_something_is_published_loses_nothing() -> None:
    """The poll is told of the end first, and answers with what there is when its turn comes."""
    app = Application(Settings())
    answers: list[list[dict[str, Any]]] = []

    async def serve() -> None:
        app.begin(asyncio.get_running_loop(), ["127.0.0.1"])
        stream = app.streams.to_publish("main")
        poll = asyncio.create_task(asked(app, b"/streams/main/long-poll?wait=30"))
        while not stream.usage["long-poll"].subscribers:
            await asyncio.sleep(0.001)
        [held] = app.fan(stream).polls
        held.client.tell({"type": OVER})
        stream.publish(parse_draft(b'{"data":7}'))
        answers.append(await poll)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, serve()).result()
    [[_, body]] = answers
    assert [each["data"] for each in json.loads(body["body"])["notifications"]] == [7]


def test_an_event_stream_that_writes_as_the_server_stops_ends() -> None:
    app = Application(Settings())

    async def serve() -> None:
        app.begin(asyncio.get_running_loop(), ["127.0.0.1"])
        stream = app.streams.to_publish("main")
        writes, room = asyncio.Event(), asyncio.Event()

        async def is_full(message: dict[str, Any]) -> None:
            if b'"data":7' in message.get("body", b""):
                stream.publish(parse_draft(b'{"data":8}'))
            if b'"data":8' in message.get("body", b""):
                writes.set()
                await room.wait()

        reader = asyncio.create_task(asked(app, b"/streams/main/sse", is_full))
        while not stream.usage["sse"].subscribers:
            await asyncio.sleep(0.001)
        stream.publish(parse_draft(b'{"data":7}'))
        await asyncio.wait_for(writes.wait(), 10)
        app.stop()
        room.set()
        sent = await asyncio.wait_for(reader, 10)
        assert not sent[-1]["more_body"]

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, serve()).result()


def test_a_poll_of_socketio_whose_body_comes_late_keeps_its_connection(serve: Callable[..., Server]) -> None:
    server = serve("--server-model", "asgi")
    with closing(RawPolling(server)) as session:
        session.post(connect_packet("main"))
        session.poll()
        polls = session.polls
        polls.putrequest("GET", session.path)
        polls.putheader("Content-Length", "3")
        polls.endheaders()
        time.sleep(0.2)
        publish(server, "main", 7)
        time.sleep(0.2)
        polls.send(b"abc")
        with polls.getresponse() as response:
            assert b'"data":7' in response.read()
        publish(server, "main", 8)
        assert b'"data":8' in b"".join(session.poll())


@pytest.mark.long
def test_connections_that_have_ended_leave_nothing_behind(serve: Callable[..., Server]) -> None:
    """What refers to itself would wait for the garbage collector, which comes rarely."""
    server = serve("--server-model", "asgi")
    worker = psutil.Process(serving_process(server.process.pid))
    subscribers = lambda: stats(server, "main")["transports"]["websocket"]["subscribers"]  # noqa: E731

    def come_and_go() -> int:
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(closing(RawWebSocket(server, "/streams/main/websocket"))).message()
        until(lambda: subscribers() == 0)
        return worker.memory_info().rss

    before = [come_and_go() for _ in range(2)][-1]
    after = [come_and_go() for _ in range(4)][-1]
    assert (after - before) / 1600 < 4_000, "bytes for each that has gone"
