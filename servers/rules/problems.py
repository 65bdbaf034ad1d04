"""Errors as problem details (RFC 9457): one sentence that tells the client what to mend."""

import json
from http import HTTPStatus
from typing import NamedTuple

from servers.refusals import (
    BadArgument,
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
    UnsupportedContent,
)
from servers.unaccepted import UnacceptedFull

MEDIA_TYPE = "application/problem+json"
SERVER_FAILED = "The server failed on this request; its log tells more."
RETRY_AFTER_S = 5
STOPPING_RETRY_AFTER_S = 1
"""A server stops within three seconds, and the one that takes its place is to be found soon."""

STATUS: dict[type[Refused], int] = {
    BadArgument: 400,
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
    UnsupportedContent: 415,
}


class Problem(NamedTuple):
    """What is answered to a request that cannot be met."""

    status: int
    detail: str
    more: tuple[tuple[str, str], ...] = ()
    """Fields of this answer alone, such as Allow."""

    def fields(self) -> dict[str, str]:
        """The fields of the answer's head, without the body's. If the server is full, the connection makes
        room too."""
        fields = {"Cache-Control": "no-store"}
        if self.status == HTTPStatus.SERVICE_UNAVAILABLE:
            fields |= {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"}
        return fields | dict(self.more)

    def body(self) -> bytes:
        """The JSON of a problem whose type is its HTTP status (RFC 9457, section 4.2.1)."""
        title = HTTPStatus(self.status).phrase
        fields = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return json.dumps(fields).encode()


def of(error: Refused) -> Problem:
    """How a refusal is told by HTTP."""
    more = (("Retry-After", str(STOPPING_RETRY_AFTER_S)),) if isinstance(error, Stopping) else ()
    return Problem(STATUS[type(error)], str(error), more)
