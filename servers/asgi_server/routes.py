"""What is to be had at which address, and how each request is answered.

A handler answers by its exchange and returns None, or returns a Problem. It may raise Refused, before it has
begun to answer.
"""

import json
from typing import TYPE_CHECKING

from servers.asgi_server.events import COMMENT_DUE, HEARTBEAT_DUE, NEWS, Event
from servers.asgi_server.exchange import headers_of, sized
from servers.asgi_server.following import Held, following
from servers.asyncio_server.requests import misdirected
from servers.refusals import Refused
from servers.rules import arguments, engine_io, events, greeting, handshake
from servers.rules.bodies import ECHO_FIELDS
from servers.rules.frames import GOING_AWAY, CloseWith, as_close
from servers.rules.hosts import SERVED_METHODS
from servers.rules.problems import Problem
from servers.rules.publishing import publish_body, publish_message, refuse_by_head
from servers.rules.routing import NOTHING_HERE, OTHER_METHODS, TRANSPORTS, Route, finder
from servers.socketio_asgi.requests import PIECES
from servers.stream import Batch, Position, Stream

if TYPE_CHECKING:
    from servers.asgi_server.exchange import Exchange

JSON = {"Content-Type": "application/json"}
NO_STORE = {"Cache-Control": "no-store"}


async def answer(exchange: "Exchange") -> Problem | None:
    """Answer a request by its route."""
    request, app = exchange.request, exchange.app
    refused = misdirected(request, app.hosts, app.bound)
    if refused:
        return refused
    line = request.line
    if line.target == "*":
        await exchange.answer(204, headers_of({"Allow": SERVED_METHODS}))
        return None
    route, request.name = find(line.path)
    if route is None:
        return Problem(404, NOTHING_HERE)
    handler = route.methods.get("GET" if line.method == "HEAD" else line.method)
    if handler:
        return await handler(exchange)  # type: ignore[no-any-return]
    if line.method == "OPTIONS":
        await exchange.answer_with(200, {"Allow": route.allow}, b"")
        return None
    return Problem(405, OTHER_METHODS, (("Allow", route.allow),))


async def answer_upgrade(exchange: "Exchange") -> Problem | None:
    """Answer a handshake by its route, which has a WebSocket."""
    request, app = exchange.request, exchange.app
    refused = misdirected(request, app.hosts, app.bound)
    if refused:
        return refused
    route, request.name = find(request.line.path)
    assert route
    refused = handshake.refusal(request.field, request.line.minor == 0, app.settings)
    if refused:
        return refused
    await route.upgrade(exchange)
    return None


# Polls.


async def short_poll(exchange: "Exchange") -> None:
    stream = exchange.app.streams.get(exchange.request.name)
    batch = stream.batch(stream.position(arguments.cursor(exchange.values("after"))))
    stream.count("short-poll", requests=1, notifications=batch.count)
    await exchange.answer_batch(batch)


async def long_poll(exchange: "Exchange") -> None:
    app = exchange.app
    stream = app.streams.get(exchange.request.name)
    position = stream.position(arguments.cursor(exchange.values("after")))
    wait_s = arguments.wait_s(exchange.values("wait"))
    await exchange.drop_body()
    app.deliver()
    batch = stream.batch(position)
    has_departed = False
    if not batch.news and wait_s > 0 and not app.streams.stopping:
        batch, has_departed = await _news(exchange, stream, batch.last_id, wait_s)
    stream.count("long-poll", requests=1, notifications=batch.count)
    await exchange.answer_batch(batch, ends=has_departed)


async def _news(exchange: "Exchange", stream: Stream, head_id: int, wait_s: float) -> tuple[Batch, bool]:
    """Wait at the stream's head. Returns what there is then, and whether the client has gone."""
    app = exchange.app
    address = app.address_of(exchange)
    app.streams.enter(stream, "long-poll", address)
    held = Held(exchange.client, stream)
    app.fan(stream).polls[held] = None
    app.deadlines.add(held, wait_s)
    try:
        event = await exchange.event()
    finally:
        app.deadlines.remove(held, wait_s)
        app.leave(held)
        app.streams.leave(stream, "long-poll", address)
    if event["type"] == NEWS:
        return event["batch"], False
    # Something may have come between the event and this turn.
    return stream.batch(Position(True, head_id)), event["type"] == "http.disconnect"


# What stays open.


async def event_stream(exchange: "Exchange") -> None:
    exchange.app.deliver()
    app, request = exchange.app, exchange.request
    stream = app.streams.get(request.name)
    seen = request.fields.named.get("last-event-id")
    cursor = arguments.last_seen([] if seen is None else [seen], exchange.values("after"))
    position = stream.position(cursor)
    heartbeat_s = arguments.heartbeat_s(exchange.values("heartbeat"))
    # HTTP/1.0 knows no chunks: the body lasts as long as the connection.
    ends = request.line.minor == 0
    if request.line.method == "HEAD":
        await exchange.answer(200, headers_of(events.FIELDS), ends=ends)
        return
    await exchange.drop_body()
    receive, send = exchange.receive, exchange.send

    async def write(batch: Batch) -> None:
        for piece in (batch.shared(events.event),) if batch.is_small else events.pieces(batch):
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    with following(exchange, stream, "sse", heartbeat_s, write) as follower, app.pinger.watching(follower):
        await exchange.start(200, headers_of(events.FIELDS), ends)
        await follower.send(stream.batch(position))
        kind = ""
        while kind != "http.disconnect":
            if not follower.has_seen_all():
                await follower.catch_up()
            if app.streams.stopping:
                # Perhaps since before it waited: then nobody tells it.
                break
            event = await receive()
            kind = event["type"]
            if kind == NEWS:
                await follower.take(event["batch"])
            elif kind == HEARTBEAT_DUE:
                await follower.beat()
            elif kind == COMMENT_DUE:
                follower.owes_comment = False
                await exchange.write(events.COMMENT)
        # What was accepted before the end is delivered.
        await follower.catch_up()
    await exchange.write(b"", more=False)


def _text(batch: Batch) -> str:
    """A small batch as a message."""
    return batch.body.decode()


async def stream_by_websocket(exchange: "Exchange") -> None:
    exchange.app.deliver()
    stream = exchange.app.streams.get(exchange.request.name)
    position = stream.position(arguments.cursor(exchange.values("after")))
    heartbeat_s = arguments.heartbeat_s(exchange.values("heartbeat"))
    receive, send = exchange.receive, exchange.send

    async def write(batch: Batch) -> None:
        if batch.is_small:
            await send({"type": "websocket.send", "text": batch.shared(_text)})
        else:
            await send({"type": PIECES, "size": batch.size, "pieces": batch.chunks()})

    why: CloseWith | None = None
    with (
        following(exchange, stream, "websocket", heartbeat_s, write) as follower,
        exchange.app.pinger.watching(exchange.client),
    ):
        await send({"type": "websocket.accept"})
        await follower.send(stream.batch(position))
        while why is None:
            if not follower.has_seen_all():
                await follower.catch_up()
            event = await receive()
            kind = event["type"]
            if kind == NEWS:
                await follower.take(event["batch"])
            elif kind == "websocket.receive":
                try:
                    published = publish_message(stream, event.get("text", event.get("bytes")))
                except (CloseWith, Refused) as error:
                    why = as_close(error)
                    continue
                if published:
                    await send({"type": "websocket.send", "text": published})
            elif kind == "websocket.disconnect":
                why = CloseWith(event["code"], event["reason"])
            elif kind == HEARTBEAT_DUE:
                await follower.beat()
        # What was accepted before the end is delivered.
        await follower.catch_up()
    await send({"type": "websocket.close", "code": why.code, "reason": why.reason})


async def echo_by_websocket(exchange: "Exchange") -> None:
    with exchange.place():
        await exchange.send({"type": "websocket.accept"})
        while (event := await exchange.receive())["type"] != "websocket.disconnect":
            if event["type"] == "websocket.receive":
                await exchange.send(event | {"type": "websocket.send"})
    await exchange.send({"type": "websocket.close", "code": GOING_AWAY})


async def greet(exchange: "Exchange") -> None:
    with exchange.place():
        await exchange.send({"type": "websocket.accept"})
        await exchange.send({"type": "websocket.send", "text": greeting.GREETING})
        while (await exchange.receive())["type"] != "websocket.disconnect":
            pass
    await exchange.send({"type": "websocket.close", "code": GOING_AWAY})


# Socket.IO, which is an application of its own.


async def socketio(exchange: "Exchange") -> None:
    request, client = exchange.request, exchange.client

    async def receive() -> Event:
        event = await exchange.receive()
        if event["type"] == "http.request" and not event["more_body"]:
            request.is_read = True
        return event  # type: ignore[no-any-return]

    async def send(event: Event) -> None:
        if client.is_gone:
            raise BrokenPipeError
        if event["type"] == "http.response.start":
            exchange.says_end((b"connection", b"close") in event["headers"])
        elif request.line.method == "HEAD":
            event = event | {"body": b""}
        await exchange.send(event)
        if client.is_gone:
            # Whether it was taken is not known.
            raise BrokenPipeError

    if request.line.method != "POST":
        # Nobody wants it. While a poll is held, only the client's end is waited for.
        await exchange.drop_body()
    try:
        await exchange.app.socketio(exchange.scope, receive, send)
    except BrokenPipeError:
        # The client has gone, which is no news.
        pass


async def socketio_by_websocket(exchange: "Exchange") -> None:
    scope = exchange.scope
    scope["extensions"] = scope["extensions"] | {PIECES: {}}
    await exchange.app.socketio(scope, exchange.receive, exchange.send)


# Everything else.


async def publish(exchange: "Exchange") -> None:
    streams, named = exchange.app.streams, exchange.request.fields.named
    streams.refuse_if_stopping()
    key = named.get("idempotency-key")
    media_type = named.get("content-type", "").partition(";")[0].strip().lower()
    refuse_by_head(media_type, named.get("content-encoding", "identity"), key)
    # Only now: it may cost another stream its log.
    stream = streams.to_publish(exchange.request.name)
    body, claim = await exchange.body()
    try:
        accepted = publish_body(stream, body, key)
    finally:
        claim.release()
    told = b'{"cursor":"%b","id":%d}\n' % (accepted.cursor.encode(), accepted.id)
    await exchange.answer_with(201, JSON, told)


async def echo(exchange: "Exchange") -> None:
    body, claim = await exchange.body()
    media_type = exchange.request.fields.named.get("content-type") or "application/octet-stream"
    try:
        await exchange.answer(
            200, [*headers_of({"Content-Type": media_type} | ECHO_FIELDS), sized(len(body))], body
        )
    finally:
        # It counts until the peer has taken it.
        claim.release()


async def stats(exchange: "Exchange") -> None:
    told = exchange.app.streams.find(exchange.request.name).stats(TRANSPORTS)
    body = json.dumps(told, separators=(",", ":")).encode() + b"\n"
    await exchange.answer_with(200, JSON | NO_STORE, body)


async def healthz(exchange: "Exchange") -> None:
    exchange.app.streams.refuse_if_stopping()
    await exchange.answer_with(200, {"Content-Type": "text/plain"} | NO_STORE, b"ok\n")


def _ask_for(sentence: str) -> Route:
    """A WebSocket that was not asked for as one."""

    async def ask_for(exchange: "Exchange") -> Problem:
        return handshake.upgrade_required(sentence)

    return Route({"GET": ask_for})


STREAM_ROUTES = {
    "short-poll": Route({"GET": short_poll}),
    "long-poll": Route({"GET": long_poll}),
    "sse": Route({"GET": event_stream}),
    "websocket": _ask_for(handshake.ASK_FOR_STREAM)._replace(upgrade=stream_by_websocket),
    "notifications": Route({"POST": publish}),
    "stats": Route({"GET": stats}),
}
ECHO = _ask_for(handshake.ASK_FOR_ECHO)
ROUTES = {
    engine_io.PATH: Route(dict.fromkeys(engine_io.METHODS, socketio), socketio_by_websocket),
    "/healthz": Route({"GET": healthz}),
    "/echo": Route({**ECHO.methods, "POST": echo}, echo_by_websocket),
    greeting.PATH: _ask_for(greeting.ASK)._replace(upgrade=greet),
}
find = finder(STREAM_ROUTES, ROUTES)
