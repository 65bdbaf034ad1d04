"""A request's body: whole or refused, as `servers/bodies.py` says."""

from servers.refusals import BodyIncomplete
from servers.rules.bodies import incomplete, too_large
from servers.socketio_asgi.requests import Request
from servers.unaccepted import Claim


async def read(request: Request, claim: Claim, max_bytes: int, limit: str) -> bytes:
    """The body, for which the claim holds until it is released; `limit` says what `max_bytes` comes from.

    Raises BodyTooLarge, BodyIncomplete or UnacceptedFull.
    """
    told = request.field(b"content-length")
    if told is not None:
        if int(told) > max_bytes:
            raise too_large(max_bytes, limit)
        claim.refuse_length(int(told))
    pieces: list[bytes] = []
    size = 0
    while True:
        event = await request.receive()
        if event["type"] != "http.request":
            raise _incomplete(size, told)
        piece = event.get("body", b"")
        size += len(piece)
        if size > max_bytes:
            raise too_large(max_bytes, limit)
        claim.hold(size)
        pieces.append(piece)
        if not event.get("more_body"):
            return b"".join(pieces)


def _incomplete(size: int, told: str | None) -> BodyIncomplete:
    return incomplete(size, int(told) if told else None)
