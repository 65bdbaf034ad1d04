"""WebSocket: one connection stays open, and each batch is written to it as one text message (RFC 6455).

The client may publish on the same connection; its own delivery is the acknowledgement. Two threads
serve a connection: the view's, which waits for news and writes it, and the reader's.
"""

from typing import Any

from flask import Flask, Response
from flask_sock import Sock
from simple_websocket import ConnectionClosed
from wsproto.frame_protocol import CloseReason

from servers.connection import GOING_AWAY, CloseWith, Connection
from servers.drafts import parse_draft
from servers.http_poll import cursor_argument
from servers.pinger import Pinger
from servers.stream import Position, Stream, Streams, Waiter
from servers.upgrade import upgrade_required

TRANSPORT = "websocket"


def add_route(app: Flask, streams: Streams) -> None:
    """`GET /streams/<name>/websocket?after=<cursor>` with Upgrade"""
    sock: Sock = app.extensions["sock"]
    pinger: Pinger = app.extensions["pinger"]

    @sock.route(f"/streams/<name>/{TRANSPORT}", endpoint=TRANSPORT)
    def websocket(connection: Connection, stream: Stream, position: Position) -> None:
        waiter = Waiter()

        def publish(message: str | bytes) -> None:
            if isinstance(message, bytes):
                raise CloseWith(
                    CloseReason.UNSUPPORTED_DATA, "Send notifications as text messages, not binary."
                )
            stream.publish(parse_draft(message, stream.max_notification_bytes))

        connection.listen(publish, on_end=waiter.interrupt)
        with pinger.watching(connection):
            try:
                batch = stream.batch(position)
                ending = False
                while True:
                    connection.send_batch(batch)
                    stream.count(TRANSPORT, notifications=batch.count)
                    if ending or streams.stopping:
                        break
                    # What came before the end is delivered; what goes on coming is not waited for.
                    ending = waiter.interrupted
                    batch = stream.batch(Position(True, batch.last_id), wait_s=None, waiter=waiter)
                    if not batch.news:
                        break
            except (ConnectionClosed, OSError):
                pass
            connection.close(GOING_AWAY if streams.stopping else None)

    upgraded = app.view_functions[TRANSPORT]

    def admitted(name: str) -> Any:
        """What is wrong with the request is said in HTTP, before anything is upgraded."""
        stream = streams.get(name)
        position = stream.position(cursor_argument())
        with streams.subscriber(stream, TRANSPORT):
            stream.count(TRANSPORT, requests=1)
            return upgraded(stream=stream, position=position)

    app.view_functions[TRANSPORT] = admitted

    @app.get(f"/streams/<name>/{TRANSPORT}", endpoint=f"{TRANSPORT} without upgrade", websocket=False)
    def without_upgrade(name: str) -> Response:
        return upgrade_required("This is a WebSocket; ask with Connection: Upgrade and Upgrade: websocket.")
