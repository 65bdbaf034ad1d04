"""What theory says before anything is measured: latency, requests, empty answers and the bill of a transport.

Rules:
- One file a transport, with its derivation and its bill, and one line in THEORIES.
- A transport that is not listed has no prediction and no bill (`Theory`, which knows nothing).
- Nobody else goes by the name of a transport: what differs between them is asked of `of(name)`.
"""

from __future__ import annotations

from bench.analysis.theory.base import Theory
from bench.analysis.theory.load import Load
from bench.analysis.theory.long_poll import LongPoll
from bench.analysis.theory.short_poll import ShortPoll
from bench.analysis.theory.socketio import SocketIo
from bench.analysis.theory.socketio_polling import SocketIoPolling
from bench.analysis.theory.sse import ServerSentEvents
from bench.analysis.theory.websocket import WebSocket

THEORIES: dict[str, Theory] = {
    "short-poll": ShortPoll(),
    "long-poll": LongPoll(),
    "sse": ServerSentEvents(),
    "websocket": WebSocket(),
    "socketio": SocketIo(),
    "socketio-polling": SocketIoPolling(),
}
"""Every theory by its transport's name."""
UNKNOWN = Theory()


def of(transport: str | None) -> Theory:
    """The transport's theory; one that knows nothing if there is none."""
    return UNKNOWN if transport is None else THEORIES.get(transport, UNKNOWN)


def mean_latency_s(load: Load) -> float | None:
    """Mean delivery latency (s); None if there is no theory for it."""
    return of(load.transport).mean_latency_s(load)


def requests_per_delivery(load: Load) -> float | None:
    """Requests that a subscriber makes for each notification; None if there is no theory for it."""
    return of(load.transport).requests_per_delivery(load)


def empty_response_share(load: Load) -> float | None:
    """Share of answers that bring nothing; None if there is no theory for it."""
    return of(load.transport).empty_response_share(load)
