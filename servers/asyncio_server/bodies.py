"""A request's body as it comes: by its length, or chunked (RFC 9112, section 7.1)."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from servers.asyncio_server.requests import BadHead, Request, read_field
from servers.rules.bodies import badly_chunked, incomplete, too_large
from servers.rules.heads import MAX_FIELD_BYTES, MAX_FIELDS
from servers.unaccepted import Claim, Unaccepted

if TYPE_CHECKING:
    from servers.asyncio_server.connection import Connection

    Finish = Callable[["Connection", Request, "Body"], None]

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*"
    + TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + TOKEN
    + rb"|"
    + QUOTED
    + rb"))?)*"
)
FRAMING = ("content-length", "transfer-encoding", "host", "trailer")
# Who sends a chunk for each byte is looked at again after so many.
CHUNKS_AT_ONCE = 100


class BadChunk(Exception):
    """The body cannot be read to its end."""

    def __init__(self, why: str) -> None:
        super().__init__(badly_chunked(why))


class Body:
    """What has come of a body. It counts as unaccepted until it is released."""

    __slots__ = ("_chunks", "_kept", "_length", "_limit", "_max_bytes", "claim", "finish", "size")

    def __init__(
        self,
        length: int | None,
        max_bytes: int,
        limit: str,
        unaccepted: Unaccepted,
        finish: "Finish",
    ) -> None:
        """Chunked if `length` is None. Raises BodyTooLarge or UnacceptedFull, before anything is read."""
        self._length = length
        self._max_bytes = max_bytes
        self._limit = limit
        self._kept = io.BytesIO()
        self._chunks = Chunks() if length is None else None
        self.size = 0
        self.claim = Claim(unaccepted)
        self.finish = finish
        """What is to be done with it once it is whole."""
        if length is not None:
            if length > max_bytes:
                raise too_large(max_bytes, limit)
            self.claim.refuse_length(length)

    def take(self, data: bytes) -> tuple[bytes, bool]:
        """Add what came. Returns what is left of it, and whether the body is whole.

        Raises BodyTooLarge, UnacceptedFull or BadChunk.
        """
        if self._chunks is not None:
            return self._chunks.take(data, self._keep)
        assert self._length is not None
        missing = self._length - self.size
        self._keep(data[:missing])
        return data[missing:], self.size == self._length

    def _keep(self, piece: bytes) -> None:
        size = self.size + len(piece)
        if size > self._max_bytes:
            raise too_large(self._max_bytes, self._limit)
        self.claim.hold(size)
        self._kept.write(piece)
        self.size = size

    @property
    def is_waiting(self) -> bool:
        """Whether nothing of what is left can be read before more has come."""
        return self._chunks is None or self._chunks.is_waiting

    def whole(self) -> bytes:
        """All of it."""
        return self._kept.getvalue()

    def refuse_end(self) -> None:
        """Raises BodyIncomplete: the peer has ended."""
        raise incomplete(self.size, self._length)


class Chunks:
    """Finds the data in a chunked body."""

    __slots__ = ("_in_trailers", "_left", "_trailers", "is_waiting")

    def __init__(self) -> None:
        self._left = -1
        """Of a chunk's data; 0: its CRLF is missing; -1: the next size is."""
        self._in_trailers = False
        self._trailers = 0
        self.is_waiting = True

    def take(self, data: bytes, keep: Callable[[bytes], None]) -> tuple[bytes, bool]:
        """Hand the data that came to `keep`. Returns what is left, and whether the body is whole."""
        at = 0
        self.is_waiting = True
        for _ in range(CHUNKS_AT_ONCE):
            if self._left > 0:
                piece = data[at : at + self._left]
                if not piece:
                    break
                keep(piece)
                at += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at > MAX_FIELD_BYTES:
                    raise BadChunk("a line is too long")
                break
            line = data[at : end + 1]
            at = end + 1
            if line[-2:] != b"\r\n":
                raise BadChunk("a line does not end with CRLF")
            if self._in_trailers:
                if line == b"\r\n":
                    return data[at:], True
                self._take_trailer(line[:-2])
            elif self._left == 0:
                if line != b"\r\n":
                    raise BadChunk("a chunk is longer than its size")
                self._left = -1
            else:
                self._take_size(line[:-2])
        else:
            self.is_waiting = False
        return data[at:], False

    def _take_size(self, line: bytes) -> None:
        match = SIZE.fullmatch(line) if len(line) <= MAX_FIELD_BYTES else None
        if not match:
            raise BadChunk("a chunk's size is none")
        self._left = int(match[1], 16)
        if self._left == 0:
            self._in_trailers = True

    def _take_trailer(self, line: bytes) -> None:
        self._trailers += 1
        try:
            name, _ = read_field(line)
        except BadHead:
            raise BadChunk("a trailer is no field") from None
        if name in FRAMING or self._trailers > MAX_FIELDS:
            raise BadChunk("a trailer is not allowed, or there are too many")
