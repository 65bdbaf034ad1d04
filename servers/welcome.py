"""The article's own example: on connection, the server greets.

`GET /welcome/websocket` with Upgrade: the first and only message is `GREETING`, as text; then the
connection stays open until either side goes. It counts as a subscriber, like any open WebSocket.
"""

from typing import Any

from flask import Flask, Response
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from servers.connection import Connection
from servers.pinger import Pinger
from servers.rules.frames import GOING_AWAY
from servers.rules.greeting import ASK, GREETING, PATH
from servers.stream import Streams, Waiter
from servers.upgrade import upgrade_required


def add_routes(app: Flask, streams: Streams) -> None:
    """`GET /welcome/websocket` with Upgrade"""
    sock: Sock = app.extensions["sock"]
    pinger: Pinger = app.extensions["pinger"]

    @sock.route(PATH, endpoint="welcome by websocket")
    def welcome(connection: Connection) -> None:
        waiter = Waiter()
        connection.listen(lambda message: None, on_end=waiter.interrupt)
        try:
            connection.send(GREETING)
        except (ConnectionClosed, OSError):
            waiter.interrupt()
        with pinger.watching(connection):
            streams.wait_for_stop(waiter)
        connection.close(GOING_AWAY if streams.stopping else None)

    upgraded = app.view_functions["welcome by websocket"]

    def admitted() -> Any:
        with streams.subscriber():
            return upgraded()

    app.view_functions["welcome by websocket"] = admitted

    @app.get(PATH, endpoint="welcome without upgrade", websocket=False)
    def without_upgrade() -> Response:
        return upgrade_required(ASK)
