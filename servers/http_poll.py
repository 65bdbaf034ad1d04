"""What routes read from a request's query, and a batch as a poll's response.

A poll's answer is never to be stored (RFC 9111, section 5.2.2.5).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response, request

from servers.rules import arguments
from servers.stream import Batch

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def cursor_argument() -> str | None:
    """The cursor that the request asks from; None if it names none and so joins at the head."""
    return arguments.cursor(request.args.getlist("after"))


def heartbeat_argument() -> int | None:
    """The seconds without a batch after which the request asks for an empty one, or None."""
    return arguments.heartbeat_s(request.args.getlist("heartbeat"))


class BatchResponse(Response):
    """A response whose headers are complete: nothing is worked out again for each of a thousand."""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.iter_encoded()


def batch_response(batch: Batch) -> Response:
    return BatchResponse(
        batch.chunks(),
        headers=[
            ("Content-Type", "application/json"),
            ("Content-Length", str(batch.size)),
            ("Cache-Control", "no-store"),
        ],
    )
