"""What `receive` gives beside ASGI's own events, and what else ASGI cannot say of who asks."""

from typing import Any, Protocol

from servers.asyncio_server.requests import Request

Event = dict[str, Any]
EXTENSION = "wirelab"

NEWS = "wirelab.news"
"""There is a batch, under `batch`."""
OVER = "wirelab.over"
"""So long was to be waited."""
COMMENT_DUE = "wirelab.comment"
HEARTBEAT_DUE = "wirelab.heartbeat"


class Client(Protocol):
    """Who asks: what ASGI cannot say of one request or WebSocket."""

    asked: Request
    peer: str

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""

    def tell(self, event: Event) -> None:
        """Let `receive` give this event, once what came before it was taken."""

    def ping(self, now_s: float) -> None:
        """Send a WebSocket a ping, or close the connection if its pong is overdue by this clock."""

    def end_after(self) -> None:
        """Let the connection end with the answer, which says so."""
