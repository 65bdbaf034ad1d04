"""Engine.IO 4 as bytes and sentences: its packets, its payloads, and a batch as an event of Socket.IO 5."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from servers.rules.frames import PROTOCOL_ERROR, TEXT, CloseWith, frame_header
from servers.rules.handshake import is_own_origin
from servers.rules.problems import Problem
from servers.settings import MIB, PONG_PATIENCE_S, Settings
from servers.stream import Batch

PATH = "/socket.io/"
METHODS = ("GET", "POST", "OPTIONS")
ON_WEBSOCKET = "socketio"
ON_POLLING = "socketio-polling"
TRANSPORTS = (ON_WEBSOCKET, ON_POLLING)

MOST_PATIENCE_S = 8.0
JOIN_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 10.0
MAX_PACKETS = 10_000
"""Packets in one payload of a client. python-engineio takes 16, which a publisher soon exceeds."""
MAX_QUEUED_BYTES = 4 * MIB
PACKET_BYTES = 100
"""What a queued packet takes beside its text, about."""
MAX_UNJOINED = 32
"""Sessions that have joined no stream, beside those that there are places for."""
MAX_UPGRADES = 16
"""Upgrades under way, beside as many as there are places: on threads each takes one."""

CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = "1", "2", "3", "4", "5", "6"
PROBE, PROBED = "2probe", "3probe"
SEPARATOR = "\x1e"
STAMP = re.compile(r"(?:^|&)t=([^&]{1,64})(?:&|$)")
BEFORE, AFTER = b'42["batch",', b"]"

FOREIGN_ORIGIN = (
    "Socket.IO from a foreign Origin is refused; open the page from this host, "
    "or serve with --allow-origin (allow_origins)."
)
TOO_MANY_UPGRADES = "Too many upgrades are under way; the session goes on by polling."
NOT_A_PACKET = "This is no packet of Engine.IO 4 that could come here."


def patience_s(interval_s: float) -> float:
    """How long a pong may take: 8 seconds of 20, less if pings are more frequent."""
    return min(MOST_PATIENCE_S, max(PONG_PATIENCE_S, 0.4 * interval_s))


def options(settings: Settings) -> dict[str, Any]:
    """What python-engineio's servers are told: no compression, and whose pages may come is asked here."""
    return {
        "monitor_clients": False,
        "ping_interval": settings.ping_interval_s,
        "ping_timeout": patience_s(settings.ping_interval_s),
        "max_http_buffer_size": settings.max_body_bytes,
        "http_compression": False,
        "cors_allowed_origins": [],
    }


def origin_refusal(origin: str | None, host: str, settings: Settings) -> Problem | None:
    """What a page is told that may not act here."""
    if origin is None or is_own_origin(origin, host, settings):
        return None
    return Problem(403, FOREIGN_ORIGIN)


def origin_fields(origin: str | None, settings: Settings) -> dict[str, str]:
    """What lets a browser show the answer to a page of a foreign origin that is allowed."""
    if origin is None or origin not in settings.allow_origins:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def misuse(arguments: Mapping[str, str], asks_for_websocket: bool) -> str | None:
    """Why a request is refused before python-engineio looks at it, in Engine.IO's own form."""
    if "j" in arguments:
        return "JSONP is not served"
    if asks_for_websocket != (arguments.get("transport") == "websocket"):
        return "Invalid transport"
    return None


def stamp_of(query: str) -> str | None:
    """What tells a client's polls apart, if it does so: the client of npm draws one for each."""
    found = STAMP.search(query)
    return found[1] if found else None


def opening(sid: str, upgrades: list[str], interval_s: float, pong_s: float, max_payload: int) -> str:
    """The first packet of a session."""
    told = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(1000 * interval_s),
        "pingTimeout": round(1000 * pong_s),
        "maxPayload": max_payload,
    }
    return "0" + json.dumps(told, separators=(",", ":"))


def no_packet() -> CloseWith:
    """How a WebSocket is closed on which something else came."""
    return CloseWith(PROTOCOL_ERROR, NOT_A_PACKET)


def event_packet(batch: Batch) -> bytes:
    """A small batch as the argument of an event: Engine.IO's message, Socket.IO's event."""
    return BEFORE + batch.body + AFTER


def event_frame(batch: Batch) -> bytes:
    """The same as a WebSocket's message."""
    packet = event_packet(batch)
    return frame_header(TEXT, len(packet)) + packet


def event_text(batch: Batch) -> str:
    """The same as text."""
    return event_packet(batch).decode()


def event_size(batch: Batch) -> int:
    """How many bytes a batch takes as an event."""
    return len(BEFORE) + batch.size + len(AFTER)


def around(before: bytes, chunks: Iterable[bytes], after: bytes) -> Iterator[bytes]:
    yield before
    yield from chunks
    yield after


def payload(packets: list[str], batch: Batch | None) -> tuple[int, Iterator[bytes]]:
    """Packets, then a batch, as the answer to a poll: its size, and its pieces. It is never empty."""
    text = SEPARATOR.join(packets if packets or batch else [NOOP])
    head = (text + SEPARATOR if packets and batch else text).encode()
    if batch is None:
        return len(head), iter((head,))
    size = len(head) + event_size(batch)
    if batch.is_small:
        return size, iter((head + batch.shared(event_packet),))
    return size, around(head + BEFORE, batch.chunks(), AFTER)


def payload_fields(size: int) -> list[tuple[str, str]]:
    """The head's fields of a payload of so many bytes."""
    return [
        ("Content-Type", "text/plain; charset=UTF-8"),
        ("Content-Length", str(size)),
        ("Cache-Control", "no-store"),
    ]


def packets_of(body: bytes) -> list[str]:
    """A client's payload. Raises ValueError if it is none, or has too many packets."""
    if body.count(SEPARATOR.encode()) >= MAX_PACKETS:
        raise ValueError("too many packets")
    return body.decode().split(SEPARATOR)
