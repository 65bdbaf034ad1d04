"""Long polling: the request is held until there is news, or until its wait ends (RFC 6202, section 2).

A held request is a subscriber, and there is a set number of them. One whose client has gone gives its place
up within a second (`departures.py`).
"""

from flask import Flask, Response, request

from servers.departures import Departures
from servers.http_poll import batch_response, cursor_argument
from servers.rules import arguments
from servers.stream import Streams, Waiter

TRANSPORT = "long-poll"


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/long-poll?after=<cursor>&wait=<seconds>`"""
    departures: Departures = app.extensions["departures"]

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def long_poll(name: str) -> Response:
        stream = streams.get(name)
        position = stream.position(cursor_argument())
        wait_s = arguments.wait_s(request.args.getlist("wait"))
        departed = False
        batch = stream.batch(position)
        if not batch.news and wait_s > 0:
            waiter = Waiter()
            with streams.subscriber(stream, TRANSPORT), departures.watching(request.environ, waiter):
                batch = stream.batch(position, wait_s, waiter)
            departed = waiter.interrupted
        stream.count(TRANSPORT, requests=1, notifications=batch.count)
        response = batch_response(batch)
        if departed:
            response.headers["Connection"] = "close"
        return response
