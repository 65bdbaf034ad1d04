"""Server-sent events: one response stays open, and each batch is written to it as an event (HTML, 9.2).

Rules:
1. An event's `data` is the batch and its `id` is the batch's cursor, so a browser that comes back sends the
   cursor as Last-Event-ID. That is what it saw last, so it goes before `after`.
2. A comment is sent as often as a WebSocket is pinged: it shows proxies that the connection is used, and the
   kernel that the peer is there. Nobody answers it: a peer that takes nothing for `send_timeout_s` is cut.
3. Browsers hide comments from a page. Who asks for a `heartbeat` gets an event with an empty batch.
4. The event of a small batch is encoded once for all. A large one is written in the log's own pieces.
5. An open response is a subscriber. A client that has gone, or has shut its sending side, gives its place up
   within a second (`departures.py`).
"""

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from servers.departures import Departures
from servers.heartbeat import Heartbeat, Heartbeats, heartbeat_argument
from servers.http_poll import cursor_argument
from servers.pinger import Pinger
from servers.stream import Batch, Position, Stream, Streams, Waiter

TRANSPORT = "sse"
MEDIA_TYPE = "text/event-stream"
COMMENT = b":\n\n"
HEADERS = (
    ("Content-Type", MEDIA_TYPE),
    ("Cache-Control", "no-store"),
    # nginx would otherwise collect what it passes on.
    ("X-Accel-Buffering", "no"),
)


class Events:
    """The events of one subscriber, in the order in which they are written."""

    def __init__(self, streams: Streams, stream: Stream, waiter: Waiter) -> None:
        self._streams = streams
        self._stream = stream
        self._waiter = waiter
        self._owes_comment = False
        self.heartbeat: Heartbeat | None = None

    def ping(self, now_s: float) -> None:
        """A comment is due. It is written in its place between events."""
        self._owes_comment = True
        self._waiter.nudge()

    def following(self, position: Position) -> Iterator[bytes]:
        """A batch at once, then each as soon as there is news, until the server stops or the client goes."""
        waiter, streams, heartbeat = self._waiter, self._streams, self.heartbeat
        batch = self._stream.batch(position)
        ending, is_due = False, True
        while True:
            if self._owes_comment:
                self._owes_comment = False
                yield COMMENT
            if batch.news or is_due:
                if batch.is_small:
                    yield batch.shared(event)
                else:
                    yield from large_event(batch)
                waiter.delivered += batch.count
                if heartbeat:
                    heartbeat.sent()
            if ending:
                break
            # What came before the end is delivered; what goes on coming is not waited for.
            ending = waiter.interrupted or streams.stopping
            batch = self._stream.batch(Position(True, batch.last_id), wait_s=None, waiter=waiter)
            if not batch.news and (waiter.interrupted or streams.stopping):
                break
            is_due = heartbeat is not None and heartbeat.is_due()
        self._stream.count(TRANSPORT, notifications=waiter.delivered)


def event(batch: Batch) -> bytes:
    """A small batch as an event. No line of a batch's JSON ends before its end: it has no spaces."""
    return b"".join(large_event(batch))


def large_event(batch: Batch) -> Iterator[bytes]:
    """A batch as an event, in pieces."""
    yield f"id: {batch.cursor}\ndata: ".encode()
    yield from batch.chunks()
    yield b"\n\n"


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/sse?after=<cursor>&heartbeat=<seconds>`"""
    departures: Departures = app.extensions["departures"]
    pinger: Pinger = app.extensions["pinger"]
    heartbeats: Heartbeats = app.extensions["heartbeats"]

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def sse(name: str) -> Response:
        stream = streams.get(name)
        position = stream.position(_cursor())
        heartbeat_s = heartbeat_argument()
        if request.method == "HEAD":
            return Response(iter(()), headers=list(HEADERS))
        waiter = Waiter(TRANSPORT)
        events = Events(streams, stream, waiter)
        with ExitStack() as stack:
            stack.enter_context(streams.subscriber(stream, TRANSPORT))
            stack.enter_context(departures.watching(request.environ, waiter))
            stack.enter_context(pinger.watching(events))
            events.heartbeat = stack.enter_context(heartbeats.watching(waiter, heartbeat_s))
            stream.count(TRANSPORT, requests=1)
            response = Response(events.following(position), headers=list(HEADERS))
            response.call_on_close(stack.pop_all().close)
        return response


def _cursor() -> str | None:
    """What a browser's EventSource saw last, else `after`; raises BadRequest if one of them is told twice."""
    seen = request.headers.getlist("Last-Event-ID")
    if len(seen) > 1:
        raise BadRequest("Give Last-Event-ID only once.")
    return seen[0] if seen else cursor_argument()
