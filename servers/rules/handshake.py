"""The opening handshake of RFC 6455, section 4.2: what is refused, and with which HTTP answer.

Fields that are lists count by any of their members, however written (RFC 9110, sections 5.6.1 and 7.8).
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from urllib.parse import urlsplit

from servers.extensions import BadExtensions, parse_offers
from servers.rules.problems import Problem
from servers.settings import Settings

VERSION = "13"
DEFAULT_PORTS = {"http": 80, "https": 443}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ASK_FOR_STREAM = "This is a WebSocket; ask with Connection: Upgrade and Upgrade: websocket."
ASK_FOR_ECHO = "GET /echo is a WebSocket; ask with Upgrade: websocket, or POST."


def wants_websocket(method: str, upgrade: str, connection: str) -> bool:
    """Whether a request asks for a WebSocket (section 4.2.1, items 1, 3, 4). Any other is answered as it is.

    A HEAD with the same fields does not (section 4.1, item 2).
    """
    return method == "GET" and "websocket" in members(upgrade) and "upgrade" in members(connection)


def members(field: str) -> list[str]:
    """The members of a list, in lower case."""
    return [member.strip(" \t").lower() for member in field.split(",")]


def refusal(field: Callable[[str], str | None], is_http_1_0: bool, settings: Settings) -> Problem | None:
    """What is wrong with a handshake; `field` gives a field's value by its name in lower case."""
    if is_http_1_0:
        return Problem(400, "A WebSocket's handshake is HTTP/1.1 (RFC 6455, section 4.2.1).")
    if (field("sec-websocket-version") or "").strip() != VERSION:
        return upgrade_required("Sec-WebSocket-Version must be 13 (RFC 6455, section 4.2.1).")
    if not _is_key(field("sec-websocket-key") or ""):
        return Problem(400, "Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455, section 4.2.1).")
    try:
        parse_offers(field("sec-websocket-extensions") or "")
    except BadExtensions:
        return Problem(400, "Sec-WebSocket-Extensions is no list of extensions (RFC 6455, section 9.1).")
    origin = field("origin")
    if origin is not None and not is_own_origin(origin, field("host") or "", settings):
        return Problem(
            403,
            "WebSockets from a foreign Origin are refused; open the page from this host, "
            "or serve with --allow-origin (allow_origins).",
        )
    return None


def upgrade_required(detail: str) -> Problem:
    """426 with what to upgrade to (RFC 9110, sections 7.8 and 15.5.22; RFC 6455, section 4.4)."""
    told = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION))
    return Problem(426, detail, told)


def accept_token(key: str) -> str:
    """The value of Sec-WebSocket-Accept (section 4.2.2, item 5.4)."""
    return base64.b64encode(
        hashlib.sha1(key.strip().encode() + GUID, usedforsecurity=False).digest()
    ).decode()


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def is_own_origin(origin: str, host: str, settings: Settings) -> bool:
    """Whether a page of this origin may act here: it came from this host, or is allowed by an option."""
    if origin in settings.allow_origins:
        return True
    try:
        own, foreign = urlsplit(f"//{host}"), urlsplit(origin)
        default_port = DEFAULT_PORTS[foreign.scheme]
        return bool(own.hostname) and (own.hostname, own.port or default_port) == (
            foreign.hostname,
            foreign.port or default_port,
        )
    except (KeyError, ValueError):
        return False
