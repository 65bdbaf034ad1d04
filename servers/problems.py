"""Errors as problem details (RFC 9457): one sentence that tells the client what to mend.

The rule: whatever goes wrong, also in gunicorn before the application is asked, the answer is
`application/problem+json`, and the server goes on serving.
"""

import json
from http import HTTPStatus

from flask import Response
from werkzeug.exceptions import HTTPException

from servers.refusals import (
    BadCursor,
    BadName,
    BadNotification,
    BodyIncomplete,
    BodyTooLarge,
    KeyReused,
    NoSuchStream,
    Refused,
    Stopping,
    StreamsFull,
    SubscribersFull,
    TooLarge,
)
from servers.unaccepted import UnacceptedFull

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
STOPPING_RETRY_AFTER_S = 1
"""A server stops within three seconds, and the one that takes its place is to be found soon."""

STATUS: dict[type[Refused], int] = {
    BadCursor: 400,
    BadName: 400,
    BadNotification: 400,
    TooLarge: 413,
    BodyTooLarge: 413,
    BodyIncomplete: 400,
    KeyReused: 422,
    NoSuchStream: 404,
    StreamsFull: 503,
    Stopping: 503,
    SubscribersFull: 503,
    UnacceptedFull: 503,
}


def body(status: int, detail: str) -> bytes:
    """The JSON of a problem whose type is its HTTP status (RFC 9457, section 4.2.1)."""
    fields = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return json.dumps(fields).encode()


def problem(status: int, detail: str, **headers: str) -> Response:
    """A problem as a response. Where the server is full, the connection makes room too."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"} | headers
    response = Response(body(status, detail), status, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def from_refused(error: Refused) -> Response:
    headers = {"Retry-After": str(STOPPING_RETRY_AFTER_S)} if isinstance(error, Stopping) else {}
    return problem(STATUS[type(error)], str(error), **headers)


def from_http_exception(error: HTTPException) -> Response:
    """Keeps the headers that the status asks for, such as Allow."""
    response = problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response
