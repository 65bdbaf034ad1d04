"""Socket.IO 5 by python-socketio, on Engine.IO 4 (`engine.py`), at /socket.io/.

The client chooses the engine: on a WebSocket its transport is `socketio`, on polling `socketio-polling`. A
session that is upgraded moves from one to the other.

The stream and the cursor are in the connection's `auth`: `{"stream":…,"after":…}`. Each batch is the argument
of an event `batch`. The event `publish` takes `{"data":…}` and is acknowledged with `{"id":…,"cursor":…}`, or
with `{"problem":…}`. A connection that is refused gets a `connect_error` with the sentence, and as its data
the status that an HTTP answer would have, `{"status":400}`.

What is published is read from the packet's own text: another parser's numbers are not what was sent.
"""

import json
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import socketio
from engineio.exceptions import EngineIOError
from flask import Flask, Response, request
from socketio.exceptions import ConnectionRefusedError as Refusal

from servers.bodies import Bodies
from servers.connection import Connection
from servers.drafts import parse_draft
from servers.engine import Engine
from servers.engine_session import Session
from servers.problems import problem
from servers.refusals import BadCursor, BadName, BadNotification, Refused
from servers.rules.frames import CloseWith
from servers.rules.handshake import is_own_origin
from servers.rules.problems import STATUS
from servers.settings import Settings
from servers.stream import Streams
from servers.upgrade import wants_websocket

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TRANSPORT = "socketio"
ON_POLLING = "socketio-polling"
PATH = "/socket.io/"
MAX_AUTH_CHARACTERS = 4096
AUTH = 'auth must be {"stream":…,"after":…}: a stream\'s name and a cursor, or no after to join at the head.'
PUBLISH_ONLY = 'The only event that is taken is publish, with one argument, {"data":…}, as JSON.'
# Of a text or a binary event: the number of its attachments, its acknowledgement's id, its arguments.
EVENT = re.compile(r"[25](?:([0-9]{1,9})-)?([0-9]{0,16})(\[.*)", re.DOTALL)
PUBLISH = re.compile(r'\[\s*"publish"\s*,(.*)\]\s*', re.DOTALL)
CONNECT, DISCONNECT, EVENTS, ACKNOWLEDGEMENTS = "0", "1", ("2", "5"), ("3", "6")

Guard = Callable[[str, str, "WSGIEnvironment"], None]


class LockedManager(socketio.Manager):  # type: ignore[misc]
    """python-socketio's tables of who is connected, which threads would spoil for each other."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    def pre_connect(self, eio_sid: str, namespace: str) -> Any:
        with self._lock:
            return super().pre_connect(eio_sid, namespace)

    def connect(self, sid: str, namespace: str) -> Any:
        with self._lock:
            return super().connect(sid, namespace)

    def pre_disconnect(self, sid: str, namespace: str) -> Any:
        with self._lock:
            return super().pre_disconnect(sid, namespace)

    def disconnect(self, sid: str, namespace: str, **kwargs: Any) -> Any:
        with self._lock:
            return super().disconnect(sid, namespace, **kwargs)


class SocketIO(socketio.Server):  # type: ignore[misc]
    """Joins sessions to streams, and publishes what they send."""

    eio: Engine

    def __init__(self, streams: Streams, **engine_options: Any) -> None:
        super().__init__(
            client_manager=LockedManager(), async_handlers=False, streams=streams, **engine_options
        )
        self.guard: Guard | None = None
        """Raises CloseWith if a client may not publish this text to this stream."""
        self._streams = streams
        self.eio.on_message = self.receive
        self.on("connect", self._join)

    def _engineio_server_class(self) -> type[Engine]:
        return Engine

    def receive(self, session: Session, text: str) -> None:
        """A packet of Socket.IO; raises EngineIOError for what is none, and as `Session.reply` does."""
        kind = text[:1]
        if kind == CONNECT:
            if len(text) > MAX_AUTH_CHARACTERS:
                raise EngineIOError
            try:
                self._handle_eio_message(session.sid, text)
            except (ValueError, RecursionError, KeyError):
                raise EngineIOError from None
            session.begin()
        elif kind == DISCONNECT:
            self._handle_disconnect(session.sid, "/", self.reason.CLIENT_DISCONNECT)
            session.leave()
        elif kind in EVENTS:
            self._take_event(session, text)
        elif kind not in ACKNOWLEDGEMENTS:
            raise EngineIOError

    def _join(self, sid: str, environ: "WSGIEnvironment", auth: object) -> None:
        """python-socketio's event: whether a session may connect."""
        session: Session = self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]
        try:
            if not isinstance(auth, dict) or not auth.keys() <= {"stream", "after"}:
                raise BadName(AUTH)
            name, after = auth.get("stream"), auth.get("after")
            if not isinstance(name, str):
                raise BadName(AUTH)
            if not (after is None or isinstance(after, str)):
                raise BadCursor(AUTH)
            stream = self._streams.get(name)
            session.join(stream, stream.position(after))
        except Refused as refused:
            raise Refusal(str(refused), {"status": STATUS[type(refused)]}) from None

    def _take_event(self, session: Session, text: str) -> None:
        event = EVENT.fullmatch(text)
        if event is None or session.stream is None:
            raise EngineIOError
        attachments, number, arguments = event.groups()
        answer: dict[str, Any]
        try:
            published = PUBLISH.fullmatch(arguments)
            if published is None or attachments is not None:
                raise BadNotification(PUBLISH_ONLY)
            self._streams.refuse_if_stopping()
            if self.guard:
                self.guard(session.stream.name, published[1], session.environ)
            draft = parse_draft(published[1], session.stream.max_notification_bytes)
            answer = session.stream.publish(draft)._asdict()
        except (Refused, CloseWith) as refused:
            answer = {"problem": str(refused)}
        if number:
            session.reply(f"43{number}{json.dumps([answer], separators=(',', ':'))}")


def add_route(app: Flask, streams: Streams) -> None:
    """`GET` and `POST /socket.io/?EIO=4&transport=<engine>`, for both transports."""
    settings: Settings = app.extensions["settings"]
    bodies: Bodies = app.extensions["bodies"]

    def connect(environ: "WSGIEnvironment") -> Connection:
        options = app.config["SOCK_SERVER_OPTIONS"] | {"permessage_deflate": False}
        return Connection(environ, **options)

    server = app.extensions["socketio"] = SocketIO(
        streams,
        departures=app.extensions["departures"],
        pinger=app.extensions["pinger"],
        unaccepted=bodies.unaccepted,
        settings=settings,
        names=(ON_POLLING, TRANSPORT),
        connect=connect,
    )
    engine = server.eio

    def answer() -> Response:
        environ = request.environ
        origin = request.headers.get("Origin")
        host = request.headers.get("Host", "")
        if origin is not None and not is_own_origin(origin, host, settings):
            return problem(
                403,
                "Socket.IO from a foreign Origin is refused; open the page from this host, "
                "or serve with --allow-origin (allow_origins).",
            )
        if "sid" in request.args and request.args["sid"] not in engine.sockets:
            streams.refuse_if_stopping()
        response = _from_engine(environ)
        if origin in settings.allow_origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Vary"] = "Origin"
        return response

    def _from_engine(environ: "WSGIEnvironment") -> Response:
        if "j" in request.args:
            return _response(engine.refusal("JSONP is not served"))
        if wants_websocket(environ) != (request.args.get("transport") == "websocket"):
            return _response(engine.refusal("Invalid transport"))
        if request.method == "POST" and request.args.get("sid") in engine.sockets:
            with bodies.read(environ, settings.max_body_bytes, settings.body_limit):
                return _response(engine.answer(environ))
        return _response(engine.answer(environ))

    app.add_url_rule(
        PATH, TRANSPORT, answer, methods=["GET", "POST", "OPTIONS"], provide_automatic_options=False
    )
    app.add_url_rule(PATH, f"{TRANSPORT} with upgrade", answer, websocket=True)


def _response(answer: Response | tuple[str, list[tuple[str, str]], list[bytes]]) -> Response:
    if isinstance(answer, Response):
        return answer
    status, headers, body = answer
    response = Response(body, status, headers)
    response.headers["Cache-Control"] = "no-store"
    return response
