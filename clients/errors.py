"""What can go wrong for a client, by whose fault it is.

ClientError
├── ConnectionLost   nobody's: the subscriber comes back by itself, so its reader never sees this
├── Refused          ours: the server says what to mend, and asking again would not help
└── BadAnswer        the server's: it broke the protocol, and cannot be understood

ValueError           the caller's: an argument makes no sense; the message says what does
└── BadBatch         the server's: an answer that is not a batch (clients.receiver)
"""

from __future__ import annotations


class ClientError(Exception):
    """The root of what clients raise."""


class ConnectionLost(ClientError):
    """The connection ended, could not be made, or the server asked for a pause."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        """Say why; `retry_after_s` is the pause that the server asked for."""
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Refused(ClientError):
    """The server refused what was asked: `status` is HTTP's, or a WebSocket's close code."""

    def __init__(self, status: int, detail: str) -> None:
        """Say what the server said."""
        super().__init__(f"the server refused with {status}: {detail}")
        self.status = status
        self.detail = detail


class BadAnswer(ClientError):
    """The server's answer is against the protocol."""
