"""WebSocket: one connection stays open, and each batch is written to it as one text message (RFC 6455).

The client may publish on the same connection; its own delivery is the acknowledgement. If the message has a
`key`, it is also answered by `{"published":{"key":…,"id":…,"cursor":…}}`, the only message that is no batch.
Two threads serve a connection: the view's, which waits for news and writes it, and the reader's.
"""

from typing import Any

from flask import Flask, Response
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from servers.connection import Connection
from servers.heartbeat import Heartbeats
from servers.http_poll import cursor_argument, heartbeat_argument
from servers.pinger import Pinger
from servers.rules.frames import GOING_AWAY
from servers.rules.handshake import ASK_FOR_STREAM
from servers.rules.publishing import publish_message
from servers.stream import Position, Stream, Streams, Waiter
from servers.upgrade import upgrade_required

TRANSPORT = "websocket"


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/websocket?after=<cursor>&heartbeat=<seconds>` with Upgrade"""
    sock: Sock = app.extensions["sock"]
    pinger: Pinger = app.extensions["pinger"]
    heartbeats: Heartbeats = app.extensions["heartbeats"]

    @sock.route(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def websocket(
        connection: Connection, stream: Stream, position: Position, heartbeat_s: int | None
    ) -> None:
        waiter = Waiter(TRANSPORT)

        def publish(message: str | bytes) -> None:
            published = publish_message(stream, message)
            if published:
                connection.send(published)

        connection.listen(publish, on_end=waiter.interrupt)
        with pinger.watching(connection), heartbeats.watching(waiter, heartbeat_s) as heartbeat:
            try:
                for batch in stream.follow(position, waiter):
                    connection.send_batch(batch)
                    if heartbeat:
                        heartbeat.sent()
            except (ConnectionClosed, OSError):
                pass
            connection.close(GOING_AWAY if streams.stopping else None)

    upgraded = app.view_functions[TRANSPORT]

    def admitted(name: str) -> Any:
        """What is wrong with the request is said in HTTP, before anything is upgraded."""
        stream = streams.get(name)
        position = stream.position(cursor_argument())
        heartbeat_s = heartbeat_argument()
        with streams.subscriber(stream, TRANSPORT):
            stream.count(TRANSPORT, requests=1)
            return upgraded(stream=stream, position=position, heartbeat_s=heartbeat_s)

    app.view_functions[TRANSPORT] = admitted

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=f"{TRANSPORT} without upgrade", websocket=False)
    def without_upgrade(name: str) -> Response:
        return upgrade_required(ASK_FOR_STREAM)
