"""One exchange by Socket.IO: the engine's handshake, the packets in its polls or frames, and a notification.

Packets (Engine.IO protocol 4, Socket.IO protocol 5): `0` opens the engine's session and tells its terms, `4`
is a message; in it `0` connects, `2` is an event and `3` its acknowledgement. Polls carry several packets,
with the byte 0x1e between them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from clients.engine import BATCH, BATCH_END, CLOSE, SEPARATOR, connect_packet, engine_target, read_opening
from clients.explain.packets import packet_spans
from clients.explain.story import STREAM
from clients.headers import engine_post_headers, poll_headers

if TYPE_CHECKING:
    from clients.explain.exchange import Recorder

MOST_POLLS = 4
"""In so many polls the first batch must have come."""
TERMS = (
    "The session's id and its terms: how often the server pings, and for how long it waits for the answer. "
    "The ping, and the pong that answers it, are this engine's own heartbeat: by polling an answer and a "
    "request."
)


def by_polling(recorder: Recorder, connection: socket.socket) -> None:
    """A POST for each packet that goes up, and a held GET for those that come down."""
    recorder.cut = packet_spans
    terms = recorder.ask(
        connection,
        "join",
        "subscriber",
        _get(recorder),
        (
            "The engine's handshake",
            "A GET that opens a session. The engine may be changed for WebSocket later.",
        ),
        ("The open packet", TERMS),
        good=200,
    )
    sid = read_opening(terms.body.decode()).sid
    recorder.ask(
        connection,
        "join",
        "subscriber",
        _post(recorder, sid, connect_packet(STREAM)),
        (
            "Join the stream",
            "A packet goes up by a request of its own: the stream, and the cursor if there is one.",
        ),
        ("Taken", "The answer says no more: what follows from the packet comes by a GET."),
        good=200,
    )
    _poll_until_batch(recorder, connection, sid)
    answer = recorder.hold(
        connection,
        _get(recorder, sid=sid),
        (
            "Tell me when there is a packet",
            "The server holds this request until it has a packet, be it news or its next ping.",
        ),
        (
            "An event",
            "The event, as the held request's answer. For the next packet the client asks again at once.",
        ),
    )
    recorder.must_deliver(_batch_in(answer.body))
    recorder.ask(
        connection,
        "leave",
        "subscriber",
        _post(recorder, sid, CLOSE),
        ("Goodbye", "The engine's close packet ends the session."),
        ("Taken", "The session is no more; the connection may be asked again."),
    )


def by_websocket(recorder: Recorder, connection: socket.socket) -> None:
    """The same packets, each in a frame of a WebSocket."""
    recorder.cut = packet_spans
    frames = recorder.upgrade(
        connection,
        engine_target(recorder.endpoint.path, "websocket"),
        ("The handshake", "A WebSocket's, at the engine's address; it opens the session too."),
        ("Accepted", "From the next byte on there are frames, as in any WebSocket."),
    )
    read_opening(frames.read("join", "The open packet", TERMS).decode())
    says = "The stream, and the cursor if there is one."
    frames.send("join", "Join the stream", says, connect_packet(STREAM))
    frames.read("join", "Joined", "The packet that says so; the batch comes in a packet of its own.")
    frames.read("join", "The first batch", "Empty: it tells the cursor.")
    recorder.publish()
    says = "The event, sent by the server because there is news, not because somebody asked."
    recorder.must_deliver(_batch_in(frames.read("deliver", "And it comes down", says)))
    frames.close("A WebSocket's close frame; it ends the session too.")


def _poll_until_batch(recorder: Recorder, connection: socket.socket, sid: str) -> None:
    """Ask until the first batch has come, which may be with the packet before it."""
    for _ in range(MOST_POLLS):
        answer = recorder.ask(
            connection,
            "join",
            "subscriber",
            _get(recorder, sid=sid),
            ("What is there?", "A GET of the session, answered as soon as there is a packet."),
            (
                "Joined",
                "The packet that says so, and an event with the first batch: empty, it tells the cursor.",
            ),
            good=200,
        )
        if BATCH in answer.body.decode():
            return
    raise ValueError("the first batch did not come")


def _batch_in(packets: bytes) -> bytes:
    """The batch in the last event of these packets."""
    found = [packet for packet in packets.decode().split(SEPARATOR) if packet.startswith(BATCH)]
    if not found:
        raise ValueError(f"there is no batch in the answer: {packets[:80]!r}")
    return found[-1].removeprefix(BATCH).removesuffix(BATCH_END).encode()


def _get(recorder: Recorder, **query: str) -> bytes:
    target = engine_target(recorder.endpoint.path, "polling", **query)
    head = poll_headers(recorder.found.headers, recorder.endpoint.host_header)
    return f"GET {target} HTTP/1.1\r\n{head}".encode("ascii")


def _post(recorder: Recorder, sid: str, packet: str) -> bytes:
    target = engine_target(recorder.endpoint.path, "polling", sid=sid)
    head = engine_post_headers(recorder.found.headers, recorder.endpoint.host_header, len(packet))
    return f"POST {target} HTTP/1.1\r\n{head}{packet}".encode("ascii")
