"""The opening handshake of RFC 6455, section 4.2: what is refused, and with which HTTP answer.

The rule: a bad handshake is answered in HTTP before anything is upgraded. Fields that are lists count by any
of their members, however they are written (RFC 9110, sections 5.6.1 and 7.8).
"""

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, request

from servers.extensions import BadExtensions, parse_offers
from servers.problems import problem
from servers.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

VERSION = "13"
DEFAULT_PORTS = {"http": 80, "https": 443}


def wants_websocket(environ: "WSGIEnvironment") -> bool:
    """Whether a request asks for a WebSocket (section 4.2.1, items 1, 3, 4). Any other is answered as it is.

    A HEAD with the same fields does not (section 4.1, item 2).
    """
    return (
        environ["REQUEST_METHOD"] == "GET"
        and "websocket" in _members(environ.get("HTTP_UPGRADE", ""))
        and "upgrade" in _members(environ.get("HTTP_CONNECTION", ""))
    )


def _members(field: str) -> list[str]:
    return [member.strip(" \t").lower() for member in field.split(",")]


def refuse_bad_handshakes(app: Flask, settings: Settings) -> None:
    """Check every request of a WebSocket route before its view runs."""

    @app.before_request
    def check() -> Response | None:
        if request.url_rule is None or not request.url_rule.websocket:
            return None
        if request.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            return problem(400, "A WebSocket's handshake is HTTP/1.1 (RFC 6455, section 4.2.1).")
        if request.headers.get("Sec-WebSocket-Version", "").strip() != VERSION:
            return upgrade_required("Sec-WebSocket-Version must be 13 (RFC 6455, section 4.2.1).")
        if not _is_key(request.headers.get("Sec-WebSocket-Key", "")):
            return problem(400, "Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455, section 4.2.1).")
        try:
            parse_offers(request.headers.get("Sec-WebSocket-Extensions", ""))
        except BadExtensions:
            return problem(400, "Sec-WebSocket-Extensions is no list of extensions (RFC 6455, section 9.1).")
        origin = request.headers.get("Origin")
        if origin is not None and not is_own_origin(origin, request.headers.get("Host", ""), settings):
            return problem(
                403,
                "WebSockets from a foreign Origin are refused; open the page from this host, "
                "or serve with --allow-origin (allow_origins).",
            )
        return None


def upgrade_required(detail: str) -> Response:
    """426 with what to upgrade to (RFC 9110, sections 7.8 and 15.5.22; RFC 6455, section 4.4)."""
    return problem(426, detail, Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version=VERSION)


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
