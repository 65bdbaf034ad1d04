"""An open event stream: the response whose body does not end (HTML, section 9.2).

Rules: those of `servers/sse.py`, and
1. To HTTP/1.1 the body is chunked, an event a chunk; to HTTP/1.0 it lasts as long as the connection.
2. What the client sends meanwhile is dropped: there is nothing to be answered before the stream has ended.
"""

from collections.abc import Iterator
from typing import Any

from servers.asyncio_server.following import Follower, Form
from servers.process import LINGER_S
from servers.rules import events
from servers.stream import Batch

LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """RFC 9112, section 7.1."""
    return b"%X\r\n%b\r\n" % (len(data), data)


def chunked_event(batch: Batch) -> bytes:
    return chunk(events.event(batch))


def chunked_pieces(batch: Batch) -> Iterator[bytes]:
    """A large batch as one chunk, in the log's own pieces."""
    pieces = events.pieces(batch)
    start = next(pieces)
    yield b"%X\r\n%b" % (len(start) + batch.size + len(events.END), start)
    yield from pieces
    yield b"\r\n"


CHUNKED = Form("sse", chunked_event, chunked_pieces)
UNCHUNKED = Form("sse", events.event, events.pieces)


class EventStream(Follower):
    """One subscriber."""

    __slots__ = ("_is_ending", "_linger")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._is_ending = False
        self._linger: Any = None

    def ping(self, now_s: float) -> None:
        """Send a comment. While a write is under way the kernel watches the peer."""
        if not self.is_writing and not self._is_ending and not self.transport.is_closing():
            self.transport.write(chunk(events.COMMENT) if self.form is CHUNKED else events.COMMENT)

    def data_received(self, data: bytes) -> None:
        """See rule 2."""

    def eof_received(self) -> bool:
        """Who will send nothing more counts as gone."""
        return False

    def written(self) -> None:
        if self._is_ending:
            self._end()
        else:
            self.catch_up()

    def go_away(self) -> None:
        """The server stops: end the body once what was accepted before is delivered."""
        if not self._is_ending:
            self._is_ending = True
            self.server.deliver()
            self._end()

    def _end(self) -> None:
        if self.is_writing:
            return
        self.catch_up()
        if self.is_writing or self._linger is not None:
            return
        self.leave()
        if self.form is CHUNKED:
            self.transport.write(LAST_CHUNK)
        self.transport.write_eof()
        self._linger = self.server.loop.call_later(LINGER_S, self.transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_ending = True
        self._chunks = None
        self.leave()
        if self._linger is not None:
            self._linger.cancel()
        self.server.forget(self)
