"""Clients of a notification stream: one subscriber a transport, one publisher.

Nothing in here imports Locust or gevent: blocking sockets and threads, which gevent can patch.
"""

from __future__ import annotations

from clients.long_poll import LongPollSubscriber
from clients.short_poll import ShortPollSubscriber
from clients.socketio import SocketIoSubscriber
from clients.socketio_polling import SocketIoPollingSubscriber
from clients.sse import SseSubscriber
from clients.subscriber import Subscriber
from clients.websocket import WebSocketSubscriber

TRANSPORTS: dict[str, type[Subscriber]] = {
    "short-poll": ShortPollSubscriber,
    "long-poll": LongPollSubscriber,
    "sse": SseSubscriber,
    "websocket": WebSocketSubscriber,
    "socketio": SocketIoSubscriber,
    "socketio-polling": SocketIoPollingSubscriber,
}
"""Every transport by its name: a new one is a file of its own and a line here."""


def label(transport: str | None) -> str:
    """What readers see for a transport; one that is not registered keeps its own name, and None is a server
    without subscribers."""
    if transport is None:
        return "no subscribers"
    return TRANSPORTS[transport].label if transport in TRANSPORTS else transport
