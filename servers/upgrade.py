"""The opening handshake on Flask: a bad one is answered in HTTP before anything is upgraded."""

from typing import TYPE_CHECKING

from flask import Flask, Response, request

from servers.problems import response_to
from servers.rules import handshake
from servers.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def wants_websocket(environ: "WSGIEnvironment") -> bool:
    """Whether a request asks for a WebSocket. Any other is answered as it is."""
    return handshake.wants_websocket(
        environ["REQUEST_METHOD"], environ.get("HTTP_UPGRADE", ""), environ.get("HTTP_CONNECTION", "")
    )


def refuse_bad_handshakes(app: Flask, settings: Settings) -> None:
    """Check every request of a WebSocket route before its view runs."""

    @app.before_request
    def check() -> Response | None:
        if request.url_rule is None or not request.url_rule.websocket:
            return None
        is_http_1_0 = request.environ["SERVER_PROTOCOL"] == "HTTP/1.0"
        refused = handshake.refusal(request.headers.get, is_http_1_0, settings)
        return response_to(refused) if refused else None


def upgrade_required(detail: str) -> Response:
    """426 with what to upgrade to."""
    return response_to(handshake.upgrade_required(detail))
