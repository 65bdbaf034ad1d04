"""An event stream's fields, and a batch as an event (HTML, section 9.2)."""

from collections.abc import Iterator

from servers.stream import Batch

FIELDS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # nginx would otherwise collect what it passes on.
    "X-Accel-Buffering": "no",
}
COMMENT = b":\n\n"
END = b"\n\n"


def event(batch: Batch) -> bytes:
    """A small batch as an event."""
    return b"".join(pieces(batch))


def pieces(batch: Batch) -> Iterator[bytes]:
    """A batch as an event, in pieces. Its JSON holds no end of line, so it is one line of data."""
    yield f"id: {batch.cursor}\ndata: ".encode()
    yield from batch.chunks()
    yield END
