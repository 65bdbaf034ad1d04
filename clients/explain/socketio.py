"""One exchange by Socket.IO: the engine's handshake, the packets in its polls or frames, and a notification.

Packets (Engine.IO protocol 4, Socket.IO protocol 5): `0` opens the engine's session and tells its terms, `4`
is a message; in it `0` connects, `2` is an event and `3` its acknowledgement. Polls carry several packets,
with the byte 0x1e between them.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Literal

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from clients.explain.story import HELD_S, STREAM
from clients.headers import handshake_headers, poll_headers

if TYPE_CHECKING:
    from clients.explain.exchange import Recorder

SEPARATOR = "\x1e"
BATCH = '42["batch",'
MOST_ANSWERS = 4
"""In so many polls or frames what was asked for must have come."""
TERMS = (
    "The session's id and its terms: how often the server pings, and for how long it waits for the answer. "
    "The ping, and the pong that answers it, are this engine's own heartbeat: by polling an answer and a "
    "request."
)


def by_polling(recorder: Recorder, connection: socket.socket) -> None:
    """A POST for each packet that goes up, and a held GET for those that come down."""
    terms = recorder.ask(
        connection,
        "join",
        "subscriber",
        _get(recorder, ""),
        (
            "The engine's handshake",
            "A GET that opens a session. The engine may be changed for WebSocket later.",
        ),
        ("The open packet", TERMS),
        good=200,
    )
    session = f"&sid={json.loads(terms.body[1:])['sid']}"
    recorder.ask(
        connection,
        "join",
        "subscriber",
        _post(recorder, session, _connect(recorder)),
        (
            "Join the stream",
            "A packet goes up by a request of its own: the stream, and the cursor if there is one.",
        ),
        ("Taken", "The answer says no more: what follows from the packet comes by a GET."),
        good=200,
    )
    _until_batch(recorder, connection, session)
    request = _get(recorder, session)
    connection.sendall(request)
    says = "The server holds this request until it has a packet, be it news or its next ping."
    recorder.note("deliver", "subscriber", "client", "Tell me when there is a packet", says, request)
    time.sleep(HELD_S)
    recorder.publish()
    answer = recorder.read(connection, request)
    says = "The event, as the held request's answer. For the next packet the client asks again at once."
    recorder.note("deliver", "subscriber", "server", "An event", says, answer.data, answer.spans())
    recorder.must_deliver(_batch(answer.body.decode()))
    recorder.ask(
        connection,
        "leave",
        "subscriber",
        _post(recorder, session, "1"),
        ("Goodbye", "The engine's close packet ends the session."),
        ("Taken", ""),
    )


def by_websocket(recorder: Recorder, connection: socket.socket) -> None:
    """The same packets, each in a frame of a WebSocket."""
    key = base64.b64encode(os.urandom(16)).decode("ascii")
    head = handshake_headers(recorder.found.headers, recorder.endpoint.host_header, key, None)
    answer = recorder.ask(
        connection,
        "join",
        "subscriber",
        f"GET {_target(recorder, 'websocket')} HTTP/1.1\r\n{head}".encode("ascii"),
        ("The handshake", "A WebSocket's, at the engine's address; it opens the session too."),
        ("Accepted", "From the next byte on there are frames, as in any WebSocket."),
        good=101,
    )
    frames = recorder.frames(connection, answer.rest)
    recorder.frame(frames, "join", "The open packet", TERMS)
    writer = FrameProtocol(client=True, extensions=[])
    says = "The stream, and the cursor if there is one."
    _send(recorder, connection, writer, "join", "Join the stream", says, _connect(recorder))
    recorder.frame(
        frames, "join", "Joined", "The packet that says so; the batch comes in a packet of its own."
    )
    recorder.frame(frames, "join", "The first batch", "Empty: it tells the cursor.")
    recorder.publish()
    says = "The event, sent by the server because there is news, not because somebody asked."
    recorder.must_deliver(_batch(recorder.frame(frames, "deliver", "And it comes down", says).decode()))
    goodbye = writer.close(CloseReason.NORMAL_CLOSURE)
    connection.sendall(goodbye)
    recorder.note("leave", "subscriber", "client", "Goodbye", "A WebSocket's close frame.", goodbye)
    recorder.frame(frames, "leave", "Goodbye", "The server's close frame: nothing follows it.", Opcode.CLOSE)


def _until_batch(recorder: Recorder, connection: socket.socket, session: str) -> None:
    """Ask until the first batch has come, which may be with the packet before it."""
    for _ in range(MOST_ANSWERS):
        answer = recorder.ask(
            connection,
            "join",
            "subscriber",
            _get(recorder, session),
            ("What is there?", "The first GET of the session."),
            ("Joined", "The packet that says so, and the first batch: empty, it tells the cursor."),
            good=200,
        )
        if BATCH in answer.body.decode():
            return
    raise ValueError("the first batch did not come")


def _batch(packets: str) -> bytes:
    """The batch in the last event of these packets."""
    found = [packet for packet in packets.split(SEPARATOR) if packet.startswith(BATCH)]
    if not found:
        raise ValueError(f"there is no batch in the answer: {packets[:80]!r}")
    return found[-1][len(BATCH) : -1].encode()


def _send(
    recorder: Recorder,
    connection: socket.socket,
    writer: FrameProtocol,
    phase: Literal["join", "publish"],
    title: str,
    says: str,
    packet: str,
) -> None:
    frame = writer.send_data(packet)
    connection.sendall(frame)
    recorder.note(phase, "subscriber", "client", title, says, frame)


def _connect(recorder: Recorder) -> str:
    return "40" + json.dumps({"stream": STREAM}, separators=(",", ":"))


def _target(recorder: Recorder, engine: str) -> str:
    return f"{recorder.endpoint.path}/socket.io/?EIO=4&transport={engine}"


def _get(recorder: Recorder, session: str) -> bytes:
    head = poll_headers(recorder.found.headers, recorder.endpoint.host_header)
    return f"GET {_target(recorder, 'polling')}{session} HTTP/1.1\r\n{head}".encode("ascii")


def _post(recorder: Recorder, session: str, packet: str) -> bytes:
    head = poll_headers(recorder.found.headers, recorder.endpoint.host_header).removesuffix("\r\n")
    if recorder.found.headers == "browser":
        head += f"Origin: http://{recorder.endpoint.host_header}\r\n"
    body = packet.encode()
    lines = f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST {_target(recorder, 'polling')}{session} HTTP/1.1\r\n{head}{lines}".encode("ascii") + body
