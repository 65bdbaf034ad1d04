"""Echo, by WebSocket and by POST: round trips upstream on one connection, and by request.

The WebSocket runs on the same machinery as the stream's, so a conformance suite that passes here
speaks for both. It is an open WebSocket like any other, so it counts as a subscriber.
"""

from typing import Any

from flask import Flask, Response, request
from flask_sock import Sock

from servers.bodies import Bodies
from servers.connection import Connection
from servers.pinger import Pinger
from servers.rules.bodies import ECHO_FIELDS
from servers.rules.frames import GOING_AWAY
from servers.rules.handshake import ASK_FOR_ECHO
from servers.settings import Settings
from servers.stream import Streams, Waiter
from servers.upgrade import upgrade_required


def add_routes(app: Flask, streams: Streams, bodies: Bodies, settings: Settings) -> None:
    """`GET /echo` with Upgrade, and `POST /echo`"""
    sock: Sock = app.extensions["sock"]
    pinger: Pinger = app.extensions["pinger"]

    @sock.route("/echo", endpoint="echo by websocket")
    def echo(connection: Connection) -> None:
        waiter = Waiter()
        connection.listen(connection.send, on_end=waiter.interrupt)
        with pinger.watching(connection):
            streams.wait_for_stop(waiter)
        connection.close(GOING_AWAY if streams.stopping else None)

    upgraded = app.view_functions["echo by websocket"]

    def admitted() -> Any:
        with streams.subscriber():
            return upgraded()

    app.view_functions["echo by websocket"] = admitted

    @app.get("/echo", endpoint="echo without upgrade", websocket=False)
    def without_upgrade() -> Response:
        return upgrade_required(ASK_FOR_ECHO)

    @app.post("/echo", endpoint="echo by post")
    def echo_by_post() -> Response:
        body = bodies.read(request.environ, settings.max_body_bytes, settings.body_limit)
        response = Response(
            body.data,
            content_type=request.content_type or "application/octet-stream",
            headers=ECHO_FIELDS,
        )
        # Until the peer has taken it, it is held.
        response.call_on_close(body.release)
        return response
