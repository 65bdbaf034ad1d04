"""The Flask application: the routes that no transport owns, and everything put together.

`servers.app:app()` is what gunicorn is told to serve. The log is in this process's memory, so there
can be one process only: `ways_to_start` refuses another.
"""

import os
from typing import TYPE_CHECKING

import flask_sock
from flask import Flask, Request, Response, jsonify, request
from flask.sessions import SessionInterface
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.routing import MapAdapter

from servers import echo, ways_to_start, welcome
from servers.addresses import Addresses
from servers.bodies import Bodies, end_unread
from servers.connection import Connection
from servers.departures import Departures
from servers.heartbeat import Heartbeats
from servers.hosts import refuse_foreign_hosts
from servers.patience import RequestTimeout
from servers.pinger import Pinger
from servers.problems import from_http_exception, from_refused, problem
from servers.refusals import Refused
from servers.rules.bodies import badly_chunked
from servers.rules.problems import SERVER_FAILED
from servers.rules.publishing import publish_body, refuse_by_head
from servers.settings import Settings, from_environ
from servers.stream import Streams
from servers.transports import TRANSPORTS
from servers.unaccepted import Unaccepted
from servers.upgrade import refuse_bad_handshakes, wants_websocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class PlainRequest(Request):
    """Does not put itself into its own environ: the circle would be left to the garbage collector."""

    def __init__(self, environ: "WSGIEnvironment", *_: object) -> None:
        super().__init__(environ, populate_request=False)


class Application(Flask):
    """Flask, without the search for a host name that no route here depends on."""

    request_class = PlainRequest

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return super().create_url_adapter(request)
        if "HTTP_UPGRADE" in request.environ and wants_websocket(request.environ):
            upgraded = self.url_map.bind("", path_info=request.path, url_scheme="ws")
            if upgraded.test():
                return upgraded
            # RFC 9110, section 7.8: where there is nothing to upgrade, the request is answered as it is.
        return self.url_map.bind("", path_info=request.path, default_method=request.method)


class NoSessions(SessionInterface):
    """Nobody has a session here, so no request pays for looking for one."""

    def open_session(self, app: Flask, request: object) -> None:
        return None

    def is_null_session(self, obj: object) -> bool:
        return True


def app() -> Flask:
    """The application that gunicorn serves, with settings from the environment."""
    ways_to_start.refuse_from_application()
    application = create_app(from_environ())
    if os.environ.get("WIRELAB_DEMO") == "1":
        # Only then imported: what is measured has none of it.
        from servers.demo.app import add_demo

        add_demo(application)
    return application


def create_app(settings: Settings) -> Flask:
    """An application with streams of its own; they are at `.extensions["streams"]`."""
    app = Application("servers", static_folder=None, template_folder="demo/templates")
    app.session_interface = NoSessions()
    streams = app.extensions["streams"] = Streams(settings)
    app.extensions["settings"] = settings
    addresses = app.extensions["addresses"] = Addresses(settings.trusted_proxy)
    streams.address = lambda: addresses.share(request.environ)
    app.extensions["departures"] = Departures()
    unaccepted = Unaccepted(settings.max_unaccepted_bytes)
    bodies = app.extensions["bodies"] = Bodies(unaccepted)
    app.extensions["pinger"] = Pinger(settings.ping_interval_s)
    app.extensions["heartbeats"] = Heartbeats()
    app.extensions["sock"] = flask_sock.Sock(app)
    # flask-sock looks its connection class up by this name at each request.
    flask_sock.Server = Connection
    app.config["SOCK_SERVER_OPTIONS"] = {
        "max_message_bytes": settings.max_body_bytes,
        "message_timeout_s": settings.request_timeout_s,
        "permessage_deflate": settings.permessage_deflate,
        "unaccepted": unaccepted,
    }
    refuse_foreign_hosts(app, settings)
    refuse_bad_handshakes(app, settings)
    for transport in TRANSPORTS.values():
        transport.add_route(app, streams)
    echo.add_routes(app, streams, bodies, settings)
    welcome.add_routes(app, streams)
    _add_stream_routes(app, streams, bodies, settings)
    _add_error_handlers(app)

    @app.after_request
    def say_goodbye(response: Response) -> Response:
        if streams.stopping:
            response.headers["Connection"] = "close"
        end_unread(request.environ, response)
        return response

    return app


def _add_stream_routes(app: Flask, streams: Streams, bodies: Bodies, settings: Settings) -> None:
    max_body_bytes, body_limit = settings.max_body_bytes, settings.body_limit

    @app.post("/streams/<name>/notifications")
    def publish(name: str) -> Response:
        streams.refuse_if_stopping()
        key = request.headers.get("Idempotency-Key")
        refuse_by_head(request.mimetype, request.headers.get("Content-Encoding", "identity"), key)
        # Only now: it may cost another stream its log.
        stream = streams.to_publish(name)
        with bodies.read(request.environ, max_body_bytes, body_limit) as body:
            accepted = publish_body(stream, body, key)
        response = jsonify(accepted._asdict())
        response.status_code = 201
        return response

    @app.get("/streams/<name>/stats")
    def stats(name: str) -> Response:
        response = jsonify(streams.find(name).stats(TRANSPORTS))
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/healthz")
    def healthz() -> Response:
        streams.refuse_if_stopping()
        return Response("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})


def _add_error_handlers(app: Flask) -> None:
    app.register_error_handler(Refused, from_refused)

    @app.errorhandler(ConnectionError)
    def client_gone(error: ConnectionError) -> Response:
        return problem(400, "The connection was lost before the request was whole.")

    @app.errorhandler(RequestTimeout)
    def late(error: RequestTimeout) -> Response:
        return problem(408, str(error), Connection="close")

    @app.errorhandler(ParseException)
    def bad_body(error: Exception) -> Response:
        """gunicorn reads a chunked body as the application asks for it; what follows cannot be read."""
        return problem(400, badly_chunked(str(error)), Connection="close")

    @app.errorhandler(HTTPException)
    def http_exception(error: HTTPException) -> Response:
        if isinstance(error, InternalServerError):
            return problem(500, SERVER_FAILED)
        return from_http_exception(error)
