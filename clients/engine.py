"""What both Socket.IO clients read and write: Engine.IO 4's packets, and Socket.IO 5's in its messages.

A small reader of our own: it knows what the contract's server sends, and passes over what else the protocols
allow.

Rules:

1. The stream and the cursor are in the auth of each connection, so each of them resumes.
2. The server pings; we answer. If nothing comes for the interval and the timeout that its first packet names,
   it has gone.
3. A refused connection (`connect_error`) may name the HTTP status of the same refusal. As there, 4xx is for
   good; anything else is asked again.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, NamedTuple

from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.subscriber import ANSWER_TIMEOUT_S, Pong, Subscriber, asks_to_come_back
from clients.wire import Connection

SEPARATOR = "\x1e"
CLOSE, PING, PONG, NOOP = "1", "2", "3", "6"
CONNECT, DISCONNECTED, CONNECT_ERROR = "40", "41", "44"
BATCH, BATCH_END = '42["batch",', "]"
PATIENCE_MOST_S = 600.0


class Opening(NamedTuple):
    """What the server's first packet tells of a session."""

    sid: str
    patience_s: float
    """How long nothing may come."""


def engine_target(path: str, engine: str, **query: str) -> str:
    """Return the request target on an engine, for a server whose addresses begin with `path`."""
    query = {"EIO": "4", "transport": engine, **query}
    given = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{path}/socket.io/?{given}"


def connect_packet(stream: str, after: str | None = None) -> str:
    """Return the packet that joins a stream, from a cursor if there is one."""
    auth = {"stream": stream} if after is None else {"stream": stream, "after": after}
    return CONNECT + json.dumps(auth, separators=(",", ":"))


def read_opening(packet: str) -> Opening:
    """Read an OPEN packet; raises BadAnswer."""
    try:
        if packet[:1] != "0":
            raise ValueError
        told = json.loads(packet[1:])
        sid = told["sid"]
        patience_s = (told["pingInterval"] + told["pingTimeout"]) / 1000
        if not (isinstance(sid, str) and sid.isascii() and sid.isprintable() and set(sid).isdisjoint(" &#%")):
            raise ValueError
        if not (math.isfinite(patience_s) and 0 < patience_s <= PATIENCE_MOST_S):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadAnswer(f"the first packet opens no session of Engine.IO 4: {packet[:200]}") from None
    return Opening(sid, patience_s)


def refused(packet: str) -> ConnectionLost | Refused:
    """The error for a CONNECT_ERROR packet."""
    detail: Any = None
    status: Any = None
    try:
        told = json.loads(packet[len(CONNECT_ERROR) :])
        detail = told["message"]
        status = told["data"]["status"]
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    detail = detail if isinstance(detail, str) else packet[:200]
    if isinstance(status, int) and status >= 400 and not asks_to_come_back(status):
        return Refused(status, detail)
    return ConnectionLost(f"the server refused the connection: {detail}")


class EngineSubscriber(Subscriber):
    """What the clients on both engines have in common."""

    held = True
    pong: ClassVar[Pong | None] = "packet"
    factors: ClassVar[tuple[str, ...]] = ("wait_s", "headers")
    engine: str
    """Engine.IO's name of what carries it."""
    _session_patience_s = ANSWER_TIMEOUT_S

    def _target(self, **query: str) -> str:
        """Return the request target: everybody's, or a session's with `sid`."""
        return engine_target(self.endpoint.path, self.engine, **query)

    def _connect_packet(self) -> str:
        """The packet that joins the stream from our cursor."""
        return connect_packet(self.stream, self.receiver.cursor)

    def _expect_opening(self) -> None:
        """A new session's first packet is an answer like any other."""
        self._session_patience_s = ANSWER_TIMEOUT_S

    def _begin(self, packet: str, connection: Connection) -> Opening:
        """Read the first packet, and wait from now on as long as it says; raises BadAnswer."""
        opening = read_opening(packet)
        self._session_patience_s = opening.patience_s
        # One whose answer was its last is closed by now; the next is made to wait as long.
        if connection is self._connection:
            connection.wait_at_most(opening.patience_s)
        return opening

    def _patience_s(self) -> float | None:
        return self._session_patience_s

    def _heartbeat_query(self) -> dict[str, str]:
        """The engine has a heartbeat of its own."""
        return {}

    def _told(self, packet: str, connection: Connection) -> int:
        """Take what a packet delivers, as `_take` does; raises ConnectionLost, Refused or BadBatch."""
        if packet.startswith(BATCH) and packet.endswith(BATCH_END):
            return self._take(packet[len(BATCH) : -len(BATCH_END)], connection)
        if packet.startswith(CONNECT_ERROR):
            raise refused(packet)
        if packet == CLOSE or packet.startswith(DISCONNECTED):
            raise ConnectionLost("the server ended the session")
        return 0
