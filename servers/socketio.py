"""Socket.IO (`socketio_server.py`) on Flask, at /socket.io/.

The client chooses the engine: on a WebSocket its transport is `socketio`, on polling `socketio-polling`. A
session that is upgraded moves from one to the other.
"""

from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request

from servers.bodies import Bodies
from servers.connection import Connection
from servers.engine import Engine
from servers.problems import response_to
from servers.rules import engine_io
from servers.rules.engine_io import METHODS, ON_WEBSOCKET, PATH
from servers.settings import Settings
from servers.socketio_server import SocketIO
from servers.stream import Streams
from servers.upgrade import wants_websocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TRANSPORT = ON_WEBSOCKET


def add_route(app: Flask, streams: Streams) -> None:
    """`GET` and `POST /socket.io/?EIO=4&transport=<engine>`, for both transports."""
    server = app.extensions["socketio"] = SocketIO(Engine, streams, **engine_options(app))
    serve_engine(app, streams, server.eio, PATH, TRANSPORT)


def engine_options(app: Flask) -> dict[str, Any]:
    """What an engine of this application is made with, beside its streams."""

    def connect(environ: "WSGIEnvironment") -> Connection:
        options = app.config["SOCK_SERVER_OPTIONS"] | {"permessage_deflate": False}
        return Connection(environ, **options)

    return {
        "pinger": app.extensions["pinger"],
        "unaccepted": app.extensions["bodies"].unaccepted,
        "departures": app.extensions["departures"],
        "connect": connect,
    }


def serve_engine(app: Flask, streams: Streams, engine: Engine, path: str, endpoint: str) -> None:
    """`GET` and `POST` at this path, by Engine.IO."""
    settings: Settings = app.extensions["settings"]
    bodies: Bodies = app.extensions["bodies"]

    def answer() -> Response:
        origin = request.headers.get("Origin")
        refused = engine_io.origin_refusal(origin, request.headers.get("Host", ""), settings)
        if refused:
            return response_to(refused)
        sid = request.args.get("sid")
        if sid is not None and sid not in engine.sockets:
            streams.refuse_if_stopping()
        response = _from_engine(request.environ, sid)
        response.headers.update(engine_io.origin_fields(origin, settings))
        return response

    def _from_engine(environ: "WSGIEnvironment", sid: str | None) -> Response:
        misused = engine_io.misuse(request.args, wants_websocket(environ))
        if misused:
            return _response(engine.refusal(misused))
        if request.method == "POST" and sid in engine.sockets:
            with bodies.read(environ, settings.max_body_bytes, settings.body_limit):
                return _response(engine.answer(environ, sid))
        return _response(engine.answer(environ, sid))

    app.add_url_rule(path, endpoint, answer, methods=METHODS, provide_automatic_options=False)
    app.add_url_rule(path, f"{endpoint} with upgrade", answer, websocket=True)


def _response(answer: Response | tuple[str, list[tuple[str, str]], list[bytes]]) -> Response:
    if isinstance(answer, Response):
        return answer
    status, headers, body = answer
    response = Response(body, status, headers)
    response.headers["Cache-Control"] = "no-store"
    return response
