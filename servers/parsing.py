"""How requests are read: gunicorn's parser, with a bound on all of a head, and in one pass.

gunicorn bounds each field and their number, which together allow 800 KiB, and looks through all that has come
with each piece that comes: a head in small pieces costs the square of its size.
"""

import re
from typing import Any

from gunicorn import util
from gunicorn.http import message, parser
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    UnsupportedTransferCoding,
)

from servers.patience import Patience, Phase, RequestTimeout
from servers.rules.heads import END, LINE_TOO_LARGE, MAX_FIELD_BYTES, MAX_HEAD_BYTES, TOO_LARGE, Head
from servers.unreader import PatientUnreader

COMPRESSED = re.compile("gzip|deflate|compress", re.IGNORECASE)


class Request(message.Request):  # type: ignore[misc]
    """gunicorn's request, read in the phases that `Patience` knows."""

    _closes: bool | None = None
    _expected_100_continue: bool

    def parse(self, unreader: PatientUnreader) -> bytes:
        self.max_buffer_headers = MAX_HEAD_BYTES
        head = Head()
        piece = unreader.read()
        if not piece:
            raise StopIteration
        unreader.begin(Phase.HEAD)
        while not head.is_read(piece):
            piece = unreader.read()
            if not piece:
                raise NoMoreData(bytes(head))
        if len(head) >= MAX_HEAD_BYTES and head.find(END, 0, MAX_HEAD_BYTES) < 0:
            if head.find(b"\r\n", 0, MAX_HEAD_BYTES) < 0:
                raise LimitRequestLine(len(head), MAX_FIELD_BYTES)
            raise LimitRequestHeaders(TOO_LARGE)
        rest: bytes = self._parse_python(unreader, head)
        unreader.begin(Phase.BODY)
        # Asked for when the body is read, so that what is refused by its head is refused before it is sent.
        unreader.owes_continue, self._expected_100_continue = self._expected_100_continue, False
        return rest

    def set_body_reader(self) -> None:
        """Section 6.1: gunicorn takes compressed bodies as well, and leaves them as they are."""
        for name, value in self.headers:
            if name == "TRANSFER-ENCODING" and COMPRESSED.search(value):
                raise UnsupportedTransferCoding(value)
        super().set_body_reader()

    def should_close(self) -> bool:
        """RFC 9112, section 9.3: `close` counts wherever it stands in the list, and however it is written."""
        if self.must_close or self.method == "CONNECT":
            return True
        if self._closes is None:
            options = {
                option.strip(" \t").lower()
                for name, value in self.headers
                if name == "CONNECTION"
                for option in value.split(",")
            }
            self._closes = "close" in options or (self.version < (1, 1) and "keep-alive" not in options)
        return self._closes


class Parser(parser.RequestParser):  # type: ignore[misc]
    """The requests of one connection. `patience` is the worker's."""

    mesg_class = Request
    mesg: Request | None
    patience: Patience

    def __init__(self, cfg: Any, source: Any, source_addr: Any) -> None:
        super().__init__(cfg, source, source_addr)
        self.unreader = PatientUnreader(source, self.patience)

    def __next__(self) -> Request:
        if self.mesg is not None:
            if self.mesg.should_close() or not self.finish_body():
                raise StopIteration
            self.unreader.begin(Phase.IDLE)
        self.req_count += 1
        self.mesg = Request(self.cfg, self.unreader, self.source_addr, self.req_count)
        return self.mesg

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Read what the application left. False if it does not come; its request is answered already."""
        if self.unreader.owes_continue:
            return False
        body = self.mesg and self.mesg.body
        if body and not body.failed and getattr(body.reader, "length", None) == 0:
            # There was none, or it has been read: gunicorn would set timeouts to find that out.
            return True
        try:
            return bool(super().finish_body(deadline, max_bytes))
        except RequestTimeout:
            return False


class TellingLimits:
    """Comes before gunicorn's worker class, whose own words for these name no limit."""

    def handle_error(self, request: Any, client: Any, address: Any, error: BaseException) -> None:
        if isinstance(error, RequestTimeout):
            util.write_error(client, 408, "Request Timeout", str(error))
        elif isinstance(error, LimitRequestHeaders):
            util.write_error(client, 431, "Request Header Fields Too Large", TOO_LARGE)
        elif isinstance(error, LimitRequestLine):
            util.write_error(client, 414, "URI Too Long", LINE_TOO_LARGE)
        else:
            worker: Any = super()
            worker.handle_error(request, client, address, error)
