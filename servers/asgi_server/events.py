"""What `receive` gives beside ASGI's own events, and what `send` takes beside ASGI's own messages."""

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

FRAMES = "wirelab.frames"
"""With `websocket.send`, in place of `text`: a message as the bytes of its frames, in pieces."""


class Client(Protocol):
    """Who asks: what ASGI cannot say of one request or WebSocket."""

    asked: Request
    peer: str

    def tell(self, event: Event) -> None:
        """Let `receive` give this event, once what came before it was taken."""

    def end_after(self) -> None:
        """Let the connection end with the answer, which says so."""
