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

from servers.departures import Departures
from servers.heartbeat import Heartbeat, Heartbeats
from servers.http_poll import heartbeat_argument
from servers.pinger import Pinger
from servers.rules import arguments, events
from servers.rules.events import COMMENT
from servers.stream import Position, Stream, Streams, Waiter

TRANSPORT = "sse"


class Events:
    """The events of one subscriber, in the order in which they are written."""

    def __init__(self, stream: Stream, waiter: Waiter, heartbeat: Heartbeat | None) -> None:
        self._stream = stream
        self._waiter = waiter
        self._heartbeat = heartbeat
        self._owes_comment = False

    def ping(self, now_s: float) -> None:
        """A comment is due. It is written in its place between events."""
        self._owes_comment = True
        self._waiter.nudge()

    def following(self, position: Position) -> Iterator[bytes]:
        """A batch at once, then each as soon as there is news, until the server stops or the client goes."""
        heartbeat = self._heartbeat
        is_first = True
        for batch in self._stream.follow(position, self._waiter):
            if self._owes_comment:
                self._owes_comment = False
                yield COMMENT
            if batch.news or is_first or (heartbeat and heartbeat.is_due()):
                if batch.is_small:
                    yield batch.shared(events.event)
                else:
                    yield from events.pieces(batch)
                if heartbeat:
                    heartbeat.sent()
            is_first = False


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/sse?after=<cursor>&heartbeat=<seconds>`"""
    departures: Departures = app.extensions["departures"]
    pinger: Pinger = app.extensions["pinger"]
    heartbeats: Heartbeats = app.extensions["heartbeats"]

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def sse(name: str) -> Response:
        stream = streams.get(name)
        position = stream.position(
            arguments.last_seen(request.headers.getlist("Last-Event-ID"), request.args.getlist("after"))
        )
        heartbeat_s = heartbeat_argument()
        if request.method == "HEAD":
            return Response(iter(()), headers=events.FIELDS)
        waiter = Waiter(TRANSPORT)
        with ExitStack() as stack:
            stack.enter_context(streams.subscriber(stream, TRANSPORT))
            stack.enter_context(departures.watching(request.environ, waiter))
            heartbeat = stack.enter_context(heartbeats.watching(waiter, heartbeat_s))
            followed = Events(stream, waiter, heartbeat)
            stack.enter_context(pinger.watching(followed))
            stream.count(TRANSPORT, requests=1)
            response = Response(followed.following(position), headers=events.FIELDS)
            response.call_on_close(stack.pop_all().close)
        return response
