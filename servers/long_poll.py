"""Long polling: the request is held until there is news, or until its wait ends (RFC 6202, section 2).

A held request is a subscriber, and there is a set number of them. One whose client has gone keeps
its place until its wait ends: nobody reads its socket meanwhile.
"""

import re

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest

from servers.http_poll import batch_response, cursor_argument
from servers.stream import Streams

TRANSPORT = "long-poll"
DEFAULT_WAIT_S = 25.0
MAX_WAIT_S = 60.0
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/long-poll?after=<cursor>&wait=<seconds>`"""

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def long_poll(name: str) -> Response:
        stream = streams.get(name)
        position = stream.position(cursor_argument())
        wait_s = _wait_argument()
        batch = stream.batch(position)
        if not batch.news and wait_s > 0:
            with streams.subscriber(stream, TRANSPORT):
                batch = stream.batch(position, wait_s)
        stream.count(TRANSPORT, requests=1, notifications=batch.count)
        return batch_response(batch)


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
