"""The Flask application: the routes that no transport owns, and everything put together.

`servers.app:app()` is what gunicorn is told to serve. The log is in this process's memory, so there
can be one process only: `one_process` refuses another.
"""

import os

import flask_sock
from flask import Flask, Response, jsonify, request
from flask.sessions import SessionInterface
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge

from servers import echo, one_process, welcome
from servers.connection import Connection
from servers.pinger import Pinger
from servers.problems import from_http_exception, from_refused, problem
from servers.settings import Settings, from_environ
from servers.stream import Refused, Streams, parse_draft
from servers.transports import TRANSPORTS
from servers.upgrade import refuse_bad_handshakes


class NoSessions(SessionInterface):
    """Nobody has a session here, so no request pays for looking for one."""

    def open_session(self, app: Flask, request: object) -> None:
        return None

    def is_null_session(self, obj: object) -> bool:
        return True


def app() -> Flask:
    """The application that gunicorn serves, with settings from the environment."""
    one_process.refuse_more()
    application = create_app(from_environ())
    if os.environ.get("WIRELAB_DEMO") == "1":
        # Only then imported: what is measured has none of it.
        from servers.demo import add_demo

        add_demo(application)
    return application


def create_app(settings: Settings) -> Flask:
    """An application with streams of its own; they are at `.extensions["streams"]`."""
    app = Flask("servers", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.session_interface = NoSessions()
    streams = app.extensions["streams"] = Streams(settings)
    app.extensions["settings"] = settings
    app.extensions["pinger"] = Pinger(settings.ping_interval_s)
    app.extensions["sock"] = flask_sock.Sock(app)
    # flask-sock looks its connection class up by this name at each request.
    flask_sock.Server = Connection
    app.config["SOCK_SERVER_OPTIONS"] = {
        "max_message_bytes": settings.max_body_bytes,
        "permessage_deflate": settings.permessage_deflate,
    }
    refuse_bad_handshakes(app, settings)
    for transport in TRANSPORTS.values():
        transport.add_route(app, streams)
    echo.add_routes(app, streams)
    welcome.add_routes(app, streams)
    _add_stream_routes(app, streams)
    _add_error_handlers(app, settings)

    @app.after_request
    def say_goodbye(response: Response) -> Response:
        if streams.stopping:
            response.headers["Connection"] = "close"
        return response

    return app


def _add_stream_routes(app: Flask, streams: Streams) -> None:
    @app.post("/streams/<name>/notifications")
    def publish(name: str) -> Response:
        stream = streams.get(name)
        if request.mimetype != "application/json":
            return problem(415, "Send the notification with Content-Type: application/json.")
        accepted = stream.publish(parse_draft(request.get_data(cache=False)))
        response = jsonify(accepted._asdict())
        response.status_code = 201
        return response

    @app.get("/streams/<name>/stats")
    def stats(name: str) -> Response:
        response = jsonify(streams.get(name).stats(TRANSPORTS))
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/healthz")
    def healthz() -> Response:
        if streams.stopping:
            return problem(503, "The server is stopping.")
        return Response("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


def _add_error_handlers(app: Flask, settings: Settings) -> None:
    app.register_error_handler(Refused, from_refused)

    @app.errorhandler(HTTPException)
    def http_exception(error: HTTPException) -> Response:
        if isinstance(error, RequestEntityTooLarge):
            return problem(
                413,
                f"A body may take {settings.max_body_bytes} bytes at the most "
                f"(max_notification_bytes is {settings.max_notification_bytes}).",
            )
        if isinstance(error, InternalServerError):
            return problem(500, "The server failed on this request; its log tells more.")
        return from_http_exception(error)
