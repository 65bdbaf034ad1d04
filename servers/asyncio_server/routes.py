"""What is to be had at which address, and how each request is answered.

A handler answers by the connection's methods and returns None, or returns a Problem, or a Body that is to be
read first. It may raise Refused.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from servers.asyncio_server import answers
from servers.asyncio_server.bodies import Body
from servers.asyncio_server.events import CHUNKED, UNCHUNKED, EventStream
from servers.asyncio_server.requests import Request, misdirected
from servers.asyncio_server.websocket import WebSocket
from servers.rules import arguments, engine_io, events, greeting, handshake
from servers.rules.bodies import ECHO_FIELDS
from servers.rules.hosts import SERVED_METHODS
from servers.rules.problems import Problem
from servers.rules.publishing import publish_body, publish_message, refuse_by_head
from servers.rules.routing import NOTHING_HERE, OTHER_METHODS, TRANSPORTS, Route, finder
from servers.stream import Stream

if TYPE_CHECKING:
    from servers.asyncio_server.bodies import Finish
    from servers.asyncio_server.connection import Connection

NO_STORE = {"Cache-Control": "no-store"}
HEALTHY = answers.rest({"Content-Type": "text/plain"} | NO_STORE, b"ok\n")

Handler = Callable[["Connection", Request], Problem | Body | None]


def answer(connection: "Connection", request: Request) -> Problem | Body | None:
    """Answer a request by its route."""
    line = request.line
    server = connection.server
    refused = misdirected(request, server.hosts, server.bound)
    if refused:
        return refused
    if line.target == "*":
        connection.answer(request, 204, answers.head({"Allow": SERVED_METHODS}, None))
        return None
    route, request.name = find(line.path)
    if route is None:
        return Problem(404, NOTHING_HERE)
    if route.upgrade and request.fields.asks_for_websocket and line.method == "GET":
        refused = handshake.refusal(request.field, line.minor == 0, server.settings)
        if refused:
            return refused
        route.upgrade(connection, request)
        return None
    handler: Handler | None = route.methods.get("GET" if line.method == "HEAD" else line.method)
    if handler:
        if request.is_plain:
            request.handler = handler
        return handler(connection, request)
    if line.method == "OPTIONS":
        connection.answer(request, 200, answers.rest({"Allow": route.allow}, b""))
        return None
    return Problem(405, OTHER_METHODS, (("Allow", route.allow),))


def _values(request: Request, name: str) -> list[str]:
    return request.line.arguments.get(name) or []


def short_poll(connection: "Connection", request: Request) -> None:
    stream = connection.server.streams.get(request.name)
    batch = stream.batch(stream.position(arguments.cursor(_values(request, "after"))))
    stream.count("short-poll", requests=1, notifications=batch.count)
    connection.answer_batch(request, batch)


def long_poll(connection: "Connection", request: Request) -> None:
    server = connection.server
    if server.woken:
        server.deliver()
    stream = server.streams.get(request.name)
    asks_for = request.asks_for
    if asks_for is None:
        after = arguments.cursor(_values(request, "after"))
        asks_for = request.asks_for = after, arguments.wait_s(_values(request, "wait"))
    after, wait_s = asks_for
    position = stream.position(after)
    batch = stream.batch(position)
    if batch.news or wait_s == 0:
        stream.count("long-poll", requests=1, notifications=batch.count)
        connection.answer_batch(request, batch)
    else:
        connection.hold_poll(request, stream, wait_s)


def stats(connection: "Connection", request: Request) -> None:
    told = connection.server.streams.find(request.name).stats(TRANSPORTS)
    body = json.dumps(told, separators=(",", ":")).encode() + b"\n"
    connection.answer(request, 200, answers.rest({"Content-Type": "application/json"} | NO_STORE, body))


def healthz(connection: "Connection", request: Request) -> None:
    connection.server.streams.refuse_if_stopping()
    connection.answer(request, 200, HEALTHY)


def publish(connection: "Connection", request: Request) -> Body:
    server, named = connection.server, request.fields.named
    server.streams.refuse_if_stopping()
    key = named.get("idempotency-key")
    media_type = named.get("content-type", "").partition(";")[0].strip().lower()
    refuse_by_head(media_type, named.get("content-encoding", "identity"), key)
    # Only now: it may cost another stream its log.
    stream = server.streams.to_publish(request.name)

    def accept(connection: "Connection", request: Request, body: Body) -> None:
        try:
            accepted = publish_body(stream, body.whole(), key)
        finally:
            body.claim.release()
        told = b'{"cursor":"%b","id":%d}\n' % (accepted.cursor.encode(), accepted.id)
        connection.answer(request, 201, answers.rest({"Content-Type": "application/json"}, told))

    return _body_of(connection, request, accept)


def echo(connection: "Connection", request: Request) -> Body:
    def send_back(connection: "Connection", request: Request, body: Body) -> None:
        media_type = request.fields.named.get("content-type") or "application/octet-stream"
        fields = {"Content-Type": media_type} | ECHO_FIELDS
        connection.answer_body(request, fields, body.whole(), body.claim)

    return _body_of(connection, request, send_back)


def _body_of(connection: "Connection", request: Request, finish: "Finish") -> Body:
    settings = connection.server.settings
    length = None if request.fields.is_chunked else request.fields.length
    body = Body(length, settings.max_body_bytes, settings.body_limit, connection.server.unaccepted, finish)
    request.is_read = True
    return body


def stream_by_websocket(connection: "Connection", request: Request) -> None:
    server = connection.server
    if server.woken:
        server.deliver()
    stream = server.streams.get(request.name)
    position = stream.position(arguments.cursor(_values(request, "after")))
    heartbeat_s = arguments.heartbeat_s(_values(request, "heartbeat"))
    websocket = _open(connection, request, stream)
    stream.count("websocket", requests=1)

    def accept(message: str | bytes) -> None:
        published = publish_message(stream, message)
        if published:
            websocket.send(published)

    websocket.on_message = accept
    if heartbeat_s:
        websocket.heartbeat = server.heartbeats.watch(websocket, heartbeat_s)
    websocket.open_on(connection, request, stream.batch(position))


def event_stream(connection: "Connection", request: Request) -> None:
    server = connection.server
    if server.woken:
        server.deliver()
    stream = server.streams.get(request.name)
    seen = request.fields.named.get("last-event-id")
    cursor = arguments.last_seen([] if seen is None else [seen], _values(request, "after"))
    position = stream.position(cursor)
    heartbeat_s = arguments.heartbeat_s(_values(request, "heartbeat"))
    is_chunked = request.line.minor > 0
    fields = events.FIELDS | ({"Transfer-Encoding": "chunked"} if is_chunked else {})
    if request.line.method == "HEAD":
        connection.answer(request, 200, answers.head(fields, None), closes=not is_chunked)
        return
    address = server.address_of(connection, request)
    server.streams.enter(stream, "sse", address)
    stream.count("sse", requests=1)
    followed = EventStream(server, CHUNKED if is_chunked else UNCHUNKED, address, stream)
    if heartbeat_s:
        followed.heartbeat = server.heartbeats.watch(followed, heartbeat_s)
    start = server.starts.start(200, connection.connection_word(request, closes=not is_chunked))
    connection.leave_to(followed)
    followed.begin(connection.transport, start + answers.head(fields, None), stream.batch(position))


def echo_by_websocket(connection: "Connection", request: Request) -> None:
    websocket = _open(connection, request)
    websocket.on_message = websocket.send
    websocket.open_on(connection, request)


def greet(connection: "Connection", request: Request) -> None:
    websocket = _open(connection, request)
    websocket.open_on(connection, request)
    websocket.send(greeting.GREETING)


def _open(connection: "Connection", request: Request, stream: Stream | None = None) -> WebSocket:
    """Take a place. Raises SubscribersFull or StreamsFull."""
    server = connection.server
    address = server.address_of(connection, request)
    server.streams.enter(stream, "websocket" if stream else "", address)
    return WebSocket(server, address, stream)


def socketio(connection: "Connection", request: Request) -> Body | None:
    """A request of Engine.IO. Its body is read only for a session that there is."""
    bridge = connection.server.bridge
    if request.has_body and bridge.application.has_session(next(iter(_values(request, "sid")), None)):
        return _body_of(connection, request, bridge.answer)
    bridge.answer(connection, request)
    return None


def socketio_by_websocket(connection: "Connection", request: Request) -> None:
    connection.server.bridge.answer_upgrade(connection, request)


def _ask_for(sentence: str) -> Handler:
    """A WebSocket that was not asked for as one."""
    return lambda connection, request: handshake.upgrade_required(sentence)


STREAM_ROUTES = {
    "short-poll": Route({"GET": short_poll}),
    "long-poll": Route({"GET": long_poll}),
    "sse": Route({"GET": event_stream}),
    "websocket": Route({"GET": _ask_for(handshake.ASK_FOR_STREAM)}, stream_by_websocket),
    "notifications": Route({"POST": publish}),
    "stats": Route({"GET": stats}),
}
ROUTES = {
    "/healthz": Route({"GET": healthz}),
    "/echo": Route({"GET": _ask_for(handshake.ASK_FOR_ECHO), "POST": echo}, echo_by_websocket),
    greeting.PATH: Route({"GET": _ask_for(greeting.ASK)}, greet),
    engine_io.PATH: Route(dict.fromkeys(engine_io.METHODS, socketio), socketio_by_websocket),
}
find = finder(STREAM_ROUTES, ROUTES)
