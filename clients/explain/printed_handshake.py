"""The handshake as the article prints it: five lines, in its order, and what RFC 6455 finds missing.

Only what names another machine is replaced: the target's host, Host and Origin. The article's target has
the form of a URL, `ws://…`, and stays one.
"""

from __future__ import annotations

from typing import NamedTuple

KEY = "Sec-WebSocket-Key: {key}"
VERSION = "Sec-WebSocket-Version: 13"


class Missing(NamedTuple):
    """A header that the article's handshake lacks, and where RFC 6455 asks for it (in our words)."""

    header: str
    client: str
    server: str
    says: str


MISSING = (
    Missing(
        "Sec-WebSocket-Key",
        "RFC 6455, section 4.1, point 7",
        "RFC 6455, section 4.2.1, point 5",
        "A handshake has to carry a key: 16 random bytes in base64. Without it the server has nothing to "
        "prove its understanding with.",
    ),
    Missing(
        "Sec-WebSocket-Version",
        "RFC 6455, section 4.1, point 9",
        "RFC 6455, section 4.2.1, point 6",
        "A handshake has to name the version of the protocol, which is 13; to any other the server answers "
        "426 and names its own (section 4.2.2, point 4).",
    ),
)
REFUSE = (
    "A server that finds the handshake not to be as described stops there, and answers in HTTP with a "
    "fitting error (RFC 6455, section 4.2.1)."
)
TARGET = (
    "The printed target is a URL with the scheme ws, too; section 4.2.1, point 1, knows a path or an http "
    "URL. This server is lenient about it: with key and version added, it answers 101."
)


def handshake(target: str, host: str, *added: str) -> bytes:
    """The article's five lines, and lines added at the end."""
    lines = (
        f"GET {target} HTTP/1.1",
        f"Origin: http://{host}",
        "Connection: Upgrade",
        f"Host: {host}",
        "Upgrade: websocket",
        *added,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
