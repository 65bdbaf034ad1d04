"""Request bodies: whole or refused, never cut, on every route that takes one.

Rules:
1. A body that is too large is refused by its Content-Length, before any of it is read; one that is chunked as
   soon as it has grown too large. The answer is 413 and names the limit.
2. All bodies together, and the WebSockets' messages, have a bound too (`unaccepted.py`): 503.
3. A body of which a part is missing is 400.
4. A body that nobody read ends its connection, unless it is short: what comes behind it cannot be found but
   by reading it all. The worker reads and drops the rest for a while, so that the answer arrives.
5. The step that is read at once grows with what has come, so a peer takes room for twice of what it sent at
   the most; and whoever reads long lets others have their turn.
"""

import io
import time
from typing import TYPE_CHECKING

from flask import Response
from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader

from servers.rules import bodies
from servers.turns import Turn
from servers.unaccepted import FREE_BYTES, Claim, Unaccepted

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

HASTY_S = 0.005
CHUNKED_STEP = 4 * 1024
MAX_STEP = 128 * 1024
READ = "wirelab.body"

# gunicorn reads a mebibyte ahead for each body. With a thread for each, what that took is hardly given back.
SocketUnreader.max_body_chunk = MAX_STEP


class Body:
    """A body that is there as a whole: `data`. It counts as unaccepted until it is released."""

    def __init__(self, unaccepted: Unaccepted) -> None:
        self.data = b""
        self.claim = Claim(unaccepted)

    def __enter__(self) -> bytes:
        return self.data

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        self.claim.release()


class Bodies:
    """Reads the bodies of one server's requests."""

    def __init__(self, unaccepted: Unaccepted) -> None:
        self.unaccepted = unaccepted

    def read(self, environ: "WSGIEnvironment", max_bytes: int, limit: str) -> Body:
        """The request's body, to be released when it is dealt with; `limit` says what `max_bytes` comes from.

        Asked again, it is the same. Raises BodyTooLarge, BodyIncomplete or UnacceptedFull.
        """
        known: Body | None = environ.get(READ)
        if known is not None:
            if len(known.data) > max_bytes:
                raise bodies.too_large(max_bytes, limit)
            return known
        body = Body(self.unaccepted)
        told = environ.get("CONTENT_LENGTH")
        length = int(told) if told else None
        if length is not None:
            if length > max_bytes:
                raise bodies.too_large(max_bytes, limit)
            body.claim.refuse_length(length)
        try:
            body.data = _read_whole(environ["wsgi.input"], length, max_bytes, limit, body.claim)
        except NoMoreData:
            body.release()
            raise bodies.incomplete(0, None) from None
        except BaseException:
            body.release()
            raise
        environ[READ] = body
        return body


def _read_whole(stream: io.BytesIO, length: int | None, max_bytes: int, limit: str, claim: Claim) -> bytes:
    if length is not None and length <= FREE_BYTES:
        data = stream.read(length)
        size = len(data)
    else:
        out = io.BytesIO()
        size = 0
        step = CHUNKED_STEP if length is None else FREE_BYTES
        turn = Turn()
        while length is None or size < length:
            # One byte more than may be tells a body that is too large.
            step = min(step, (max_bytes + 1 if length is None else length) - size)
            claim.hold(size + step)
            started_s = time.monotonic()
            received = stream.read(step)
            if not received:
                break
            out.write(received)
            size += len(received)
            if size > max_bytes:
                raise bodies.too_large(max_bytes, limit)
            # A chunk may be one byte, and what takes many of them takes long.
            hasty = length is not None or time.monotonic() - started_s < HASTY_S
            turn.worked()
            step = min(MAX_STEP, max(FREE_BYTES, size)) if hasty else CHUNKED_STEP
        claim.hold(size)
        data = out.getvalue()
    if length is not None and size < length:
        raise bodies.incomplete(size, length)
    return data


def end_unread(environ: "WSGIEnvironment", response: Response) -> None:
    """Rule 4: let a connection end whose request's body has not been read."""
    length = environ.get("CONTENT_LENGTH")
    if length is None and "HTTP_TRANSFER_ENCODING" not in environ:
        return
    if READ in environ or (length and int(length) <= bodies.SHORT_BYTES):
        return
    response.headers["Connection"] = "close"
