"""Short polling: the client asks again and again, and is answered at once, perhaps with nothing."""

from flask import Flask, Response

from servers.http_poll import batch_response, cursor_argument
from servers.stream import Streams

TRANSPORT = "short-poll"


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/short-poll?after=<cursor>`"""

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def short_poll(name: str) -> Response:
        stream = streams.get(name)
        batch = stream.batch(stream.position(cursor_argument()))
        stream.count(TRANSPORT, requests=1, notifications=batch.count)
        return batch_response(batch)
