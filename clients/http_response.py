"""HTTP/1.1 responses from bytes, however they are cut: pure, around httptools (the llhttp parser in C).

It takes 1.8 µs of CPU for a small response, and h11 34 (`python -m clients.measure_parsers`, Python 3.11).

Rules:

1. Responses come out in the order in which they are complete; several may be in one read.
2. A body is bounded by MAX_BODY_BYTES; a larger one, or bytes that are not HTTP, raise BadAnswer.
3. After 101 nothing is HTTP any more: the bytes that follow it are in `upgraded`.
4. A body that only ends with the connection is never complete: the contract's answers say their length.
5. An answer with the status `streamed` counts as complete with its head, since its body goes on and on:
   `take_streamed` gives what has come of it, and `stream_ended` tells its end.
"""

from __future__ import annotations

from typing import NamedTuple

import httptools

from clients.errors import BadAnswer

MAX_BODY_BYTES = 64 * 2**20


class Response(NamedTuple):
    """One complete response; header names are in lower case, and repeated ones are joined by commas."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool
    """Whether the connection may be asked again."""


class ResponseParser:
    """The responses of one connection."""

    def __init__(self, streamed: int | None = None) -> None:
        """Expect the first response."""
        self.streamed = streamed
        self.stream_ended = False
        self.upgraded: bytes | None = None
        """None while the connection speaks HTTP; after 101, the bytes that followed it so far."""
        self.started = False
        """Whether bytes of an unfinished response are there."""
        self._parser = httptools.HttpResponseParser(self)
        self._complete: list[Response] = []
        self._start()

    def _start(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0

    def take_streamed(self) -> bytes:
        """What has come of a streamed body since the last call."""
        taken = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body, self._body_bytes = [], 0
        return taken

    def feed(self, data: bytes) -> list[Response]:
        """Take the next bytes and return the responses that they complete; raises BadAnswer."""
        self.started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgraded = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise BadAnswer(f"an answer is longer than {MAX_BODY_BYTES} bytes") from error
        except httptools.HttpParserError as error:
            raise BadAnswer(f"the answer is not HTTP/1.1: {error}") from None
        complete, self._complete = self._complete, []
        return complete

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Note that a response has begun, perhaps in the bytes that ended the one before."""
        self.started = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        name = name.lower()
        before = self._headers.get(name)
        self._headers[name] = value if before is None else before + b", " + value

    def on_headers_complete(self) -> None:
        """Hand a streamed answer on before its body."""
        status = self._parser.get_status_code()
        if status == self.streamed:
            self._complete.append(Response(status, self._headers, b"", keep_alive=False))
            self.started = False

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY_BYTES:
            raise OverflowError

    def on_message_complete(self) -> None:
        """Finish a response. Interim responses (RFC 9110, 15.2) except 101 are skipped."""
        status = self._parser.get_status_code()
        if status == self.streamed:
            self.stream_ended = True
            return
        if status >= 200 or status == 101:
            self._complete.append(
                Response(status, self._headers, b"".join(self._body), self._parser.should_keep_alive())
            )
        self.started = False
        self._start()
