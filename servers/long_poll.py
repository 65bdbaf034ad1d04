"""Long polling: the request is held until there is news, or until its wait ends (RFC 6202, section 2).

A held request is a subscriber, and there is a set number of them. One whose client has gone gives its place
up within a second (`departures.py`).
"""

import re

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from servers.departures import Departures
from servers.http_poll import batch_response, cursor_argument
from servers.stream import Streams, Waiter

TRANSPORT = "long-poll"
DEFAULT_WAIT_S = 25.0
MAX_WAIT_S = 60.0
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/long-poll?after=<cursor>&wait=<seconds>`"""
    departures: Departures = app.extensions["departures"]

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def long_poll(name: str) -> Response:
        stream = streams.get(name)
        position = stream.position(cursor_argument())
        wait_s = _wait_argument()
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


def _wait_argument() -> float:
    """Seconds to hold the request; raises BadRequest rather than clamp what was asked."""
    waits = request.args.getlist("wait")
    if not waits:
        return DEFAULT_WAIT_S
    if len(waits) > 1 or not SECONDS.fullmatch(waits[0]):
        raise BadRequest("wait must be one number of seconds, such as 25 or 0.5.")
    wait_s = float(waits[0])
    if wait_s > MAX_WAIT_S:
        raise BadRequest(f"wait must not exceed {MAX_WAIT_S:.0f} seconds.")
    return wait_s
